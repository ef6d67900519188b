// Package document reads configuration files into trees whose nodes know their lines. JSON is read here; YAML is turned
// into JSON with the same lines by the program mayfly-config, so that this one links no YAML.
//
// A file is untrusted input: its size, its depth and what YAML's aliases make of it are bounded.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Limits of a file. A machine takes some ten lines, and five levels.
const (
	MaxBytes = 1 << 20
	MaxDepth = 16
)

// Kind is what a node is.
type Kind uint8

// Kinds of nodes.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// String is the kind as it is called in JSON.
func (k Kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// Node is a value of a file.
type Node struct {
	Kind    Kind
	Line    int    // counted from 1
	Text    string // of a Bool, Number or String
	Items   []*Node
	Members []Member
}

// Member is a name in an object, with its value.
type Member struct {
	Name  string
	Line  int
	Value *Node
}

// Error is a file that makes no sense.
type Error struct {
	File string
	Line int // 0: unknown
	Msg  string
	Err  error // what a value was refused for, if that was it
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Error is one line: file, line, what was found, what can be.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Read reads a file. What the file holds is an *Error, that it can't be read is another one.
func Read(path string) (*Node, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxBytes {
		return nil, &Error{File: path, Msg: fmt.Sprintf("more than %d KiB: that is no description of a machine", MaxBytes>>10)}
	}
	if !isJSON(path, b) {
		if b, err = fromYAML(path, b); err != nil {
			return nil, err
		}
	}
	n, err := Parse(b)
	var e *Error
	if errors.As(err, &e) {
		e.File = path
	}
	return n, err
}

// isJSON goes by the name, and without a name that tells by the first character.
func isJSON(path string, b []byte) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		return true
	case ".yaml", ".yml":
		return false
	}
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] == '{'
}

// Parse reads JSON. Errors are *[Error], without the file.
func Parse(b []byte) (*Node, error) {
	if at := invalidUTF8(b); at >= 0 {
		return nil, &Error{Line: 1 + bytes.Count(b[:at], []byte{'\n'}), Msg: "not UTF-8: save the file so"}
	}
	p := &parser{text: b, dec: json.NewDecoder(bytes.NewReader(b)), line: 1}
	p.dec.UseNumber()
	n, err := p.value(0)
	if err == nil {
		if _, err = p.token(); err == io.EOF {
			return n, nil
		}
		if err == nil {
			err = p.errorf("there is more behind the end: one object is the whole file")
		}
	}
	var e *Error
	if errors.As(err, &e) {
		return nil, e
	}
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, p.errorf("it ends too early: a bracket or a quote is open")
	}
	return nil, p.errorf("%s", strings.TrimPrefix(err.Error(), "json: "))
}

func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; ; {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
}

type parser struct {
	text []byte
	dec  *json.Decoder
	line int // of what was read last
	at   int64
}

func (p *parser) errorf(format string, a ...any) *Error {
	return &Error{Line: p.line, Msg: fmt.Sprintf(format, a...)}
}

// token reads on, and counts the lines.
func (p *parser) token() (json.Token, error) {
	t, err := p.dec.Token()
	to := p.dec.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		to = max(to, min(syntax.Offset, int64(len(p.text))))
	}
	p.line += bytes.Count(p.text[p.at:to], []byte{'\n'})
	p.at = to
	return t, err
}

func (p *parser) value(depth int) (*Node, error) {
	if depth > MaxDepth {
		return nil, p.errorf("more than %d levels deep: that is no description of a machine", MaxDepth)
	}
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	n := &Node{Line: p.line}
	switch t := t.(type) {
	case nil:
	case bool:
		n.Kind, n.Text = Bool, fmt.Sprint(t)
	case json.Number:
		n.Kind, n.Text = Number, t.String()
	case string:
		n.Kind, n.Text = String, t
	case json.Delim:
		if t == '[' {
			n.Kind = Array
			for p.dec.More() {
				item, err := p.value(depth + 1)
				if err != nil {
					return nil, err
				}
				n.Items = append(n.Items, item)
			}
		} else {
			n.Kind = Object
			if err := p.members(n, depth); err != nil {
				return nil, err
			}
		}
		if _, err := p.token(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (p *parser) members(n *Node, depth int) error {
	seen := make(map[string]int)
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return err
		}
		name, line := t.(string), p.line
		if first, twice := seen[name]; twice {
			return p.errorf("%q is there twice, in line %d already", name, first)
		}
		seen[name] = line
		v, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.Members = append(n.Members, Member{name, line, v})
	}
	return nil
}
