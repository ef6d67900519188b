// Package yamljson turns YAML into JSON whose values stand in the lines that they
// had. It is for the program mayfly-config: it links a YAML library.
package yamljson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxInput is the longest file, in bytes.
const MaxInput = 1 << 20

// Limits of what comes out, against aliases that name aliases.
const (
	maxNodes = 100_000
	maxDepth = 32
	maxBytes = 4 << 20
)

// An Error is a place in the file, and what is wrong there.
type Error struct {
	Line int
	Msg  string
}

// Error is what the other program reads.
func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.Line, e.Msg) }

func errorAt(line int, format string, a ...any) error {
	return &Error{line, fmt.Sprintf(format, a...)}
}

// Convert returns JSON for YAML, each value in its line. Errors are *[Error].
func Convert(in []byte) ([]byte, error) {
	if len(in) > MaxInput {
		return nil, errorAt(0, "more than %d KiB: that is no description of a machine", MaxInput>>10)
	}
	dec := yaml.NewDecoder(bytes.NewReader(in))
	var doc yaml.Node
	if err := dec.Decode(&doc); err == io.EOF {
		return nil, errorAt(1, "the file is empty: begin with kernel: FILE")
	} else if err != nil {
		return nil, syntax(err)
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		if err != nil {
			return nil, syntax(err)
		}
		return nil, errorAt(0, "found a second document after ---: a file is one machine")
	}
	w := writer{line: 1}
	if err := w.node(&doc, 0); err != nil {
		return nil, err
	}
	return append(w.out, '\n'), nil
}

// syntax takes the line out of the library's message: "yaml: line 3: …".
func syntax(err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if n, what, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(n); err == nil {
				return errorAt(line, "%s", what)
			}
		}
	}
	return errorAt(0, "%s", msg)
}

type writer struct {
	out     []byte
	line    int
	nodes   int
	aliases []*yaml.Node // being written: one inside itself never ends
}

// at goes on to a node's line. What an alias stands for stays in the alias's.
func (w *writer) at(n *yaml.Node) {
	for len(w.aliases) == 0 && w.line < n.Line {
		w.out = append(w.out, '\n')
		w.line++
	}
}

func (w *writer) node(n *yaml.Node, depth int) error {
	w.at(n)
	if w.nodes++; w.nodes > maxNodes || len(w.out) > maxBytes {
		return errorAt(w.line, "it grows beyond %d values or %d MiB: its aliases say too much", maxNodes, maxBytes>>20)
	}
	if depth > maxDepth {
		return errorAt(w.line, "more than %d levels deep: that is no description of a machine", maxDepth)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return w.node(n.Content[0], depth)
	case yaml.AliasNode:
		return w.alias(n, depth)
	case yaml.SequenceNode:
		return w.sequence(n, depth)
	case yaml.MappingNode:
		return w.mapping(n, depth)
	}
	return w.scalar(n)
}

func (w *writer) alias(n *yaml.Node, depth int) error {
	for _, a := range w.aliases {
		if a == n.Alias {
			return errorAt(w.line, "the alias *%s stands inside of what it stands for", n.Value)
		}
	}
	w.aliases = append(w.aliases, n.Alias)
	defer func() { w.aliases = w.aliases[:len(w.aliases)-1] }()
	return w.node(n.Alias, depth+1)
}

func (w *writer) sequence(n *yaml.Node, depth int) error {
	if err := tagged(n, "!!seq"); err != nil {
		return err
	}
	w.out = append(w.out, '[')
	for i, c := range n.Content {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.node(c, depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *writer) mapping(n *yaml.Node, depth int) error {
	if err := tagged(n, "!!map"); err != nil {
		return err
	}
	w.out = append(w.out, '{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode {
			return errorAt(k.Line, "found a list, an object or an alias where a key belongs")
		}
		if k.Tag == "!!merge" {
			return errorAt(k.Line, "<< is not understood: write the keys out, or use an alias for the whole")
		}
		w.at(k)
		w.out = append(w.out, quoted(k.Value)...)
		w.out = append(w.out, ':')
		if err := w.node(n.Content[i+1], depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

// scalar writes a number or a boolean as such only if it is written as JSON does:
// what 010, 0x10 or 1_000 mean depends on whom one asks. As a string it is refused
// where a number belongs, with what was found.
func (w *writer) scalar(n *yaml.Node) error {
	switch n.Tag {
	case "!!null":
		w.out = append(w.out, "null"...)
		return nil
	case "!!bool":
		if n.Value == "true" || n.Value == "false" {
			w.out = append(w.out, n.Value...)
			return nil
		}
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			w.out = append(w.out, n.Value...)
			return nil
		}
	case "!!str", "!!timestamp":
	default:
		return errorAt(n.Line, "found the tag %s: values are plain text, numbers, true or false", n.Tag)
	}
	w.out = append(w.out, quoted(n.Value)...)
	return nil
}

func tagged(n *yaml.Node, want string) error {
	if n.Tag != want {
		return errorAt(n.Line, "found the tag %s: remove it", n.Tag)
	}
	return nil
}

// quoted writes a string without line breaks.
func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(errors.New("a string that can't be written")) // there is none
	}
	return b
}
