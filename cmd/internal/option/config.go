package option

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mayfly-vm/mayfly/cmd/internal/document"
)

// Apply sets flags by a configuration file: an object with their names. What a flag takes in groups is an object there,
// or a string as on the command line; what may be given more than once is also a list. Errors are *[document.Error].
func Apply(flags []Flag, n *document.Node) error {
	return applyObject(flags, n, "")
}

func errorAt(line int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &document.Error{Line: line, Msg: err.Error(), Err: errors.Unwrap(err)}
}

// object sets the flags, or keys, that an object has.
func applyObject(flags []Flag, n *document.Node, at string) error {
	if n.Kind != document.Object {
		if at == "" {
			return errorAt(n.Line, "found %s: a machine is an object, such as {\"kernel\": \"vmlinux\"}", n.Kind)
		}
		return errorAt(n.Line, "%s: found %s, not its keys", at, n.Kind)
	}
	for _, m := range n.Members {
		if at == "" && m.Name == "$schema" {
			continue // for editors
		}
		f := Find(flags, m.Name)
		if f == nil || f.Get == nil && f.Groups == nil {
			return unknownMember(flags, f, m, at)
		}
		if err := applyValue(f, m.Value, at+m.Name); err != nil {
			return err
		}
	}
	return nil
}

func unknownMember(flags []Flag, f *Flag, m document.Member, at string) error {
	where := ""
	if at != "" {
		where = strings.TrimSuffix(at, ".") + ": "
	}
	if f != nil {
		return errorAt(m.Line, "%s%q is for the command line alone: --%s", where, m.Name, m.Name)
	}
	var names []string
	for _, f := range flags {
		if f.Get != nil || f.Groups != nil {
			names = append(names, f.Name)
		}
	}
	if near := Nearest(m.Name, names); near != "" {
		return errorAt(m.Line, "%sthere is no key %q; did you mean %s?", where, m.Name, near)
	}
	return errorAt(m.Line, "%sthere is no key %q; it is one of %s", where, m.Name, list(names))
}

// value sets one flag; at is its name with those above it.
func applyValue(f *Flag, n *document.Node, at string) error {
	if n.Kind != document.Array {
		return applyOne(f, n, at)
	}
	if !f.Many {
		return errorAt(n.Line, "%s: found a list: there can be only one", at)
	}
	for i, item := range n.Items {
		if err := applyOne(f, item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	return nil
}

func applyOne(f *Flag, n *document.Node, at string) error {
	if f.Groups != nil {
		return applyGroup(f, n, at)
	}
	switch {
	case n.Kind == document.Null:
		return errorAt(n.Line, "%s: has no value: write one, or leave it out", at)
	case n.Kind == document.Array || n.Kind == document.Object:
		return errorAt(n.Line, "%s: found %s where a single value belongs", at, n.Kind)
	case f.Type == Boolean && n.Kind != document.Bool:
		return errorAt(n.Line, "%s: found %q: write true or false, without quotes", at, n.Text)
	case f.Type == Integer && n.Kind == document.String && looksNumeric(n.Text):
		return errorAt(n.Line, "%s: found %s: write a whole number in decimal digits, without quotes, sign or leading zero", at, n.Text)
	case f.Type == Integer && n.Kind != document.Number:
		return errorAt(n.Line, "%s: found %q: write a number, without quotes", at, n.Text)
	case f.Type == Bytesize && n.Kind == document.Bool, f.Type == String && n.Kind != document.String:
		return errorAt(n.Line, "%s: found %s: write %q, with quotes", at, n.Text, n.Text)
	}
	if err := f.set(n.Text); err != nil {
		return errorAt(n.Line, "%s %q: %w", at, n.Text, err)
	}
	return nil
}

// looksNumeric reports what some readers of YAML take for a number, such as 010 and 0x10, which are strings here: others read
// another number.
func looksNumeric(s string) bool {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil && strconv.FormatUint(n, 10) == s {
		return false // what is wrong with it are its quotes
	}
	s = strings.TrimLeft(s, "+-")
	return s != "" && s[0] >= '0' && s[0] <= '9'
}

func applyGroup(f *Flag, n *document.Node, at string) error {
	switch n.Kind {
	case document.String:
		if err := f.Groups.Add().Set(n.Text); err != nil {
			return errorAt(n.Line, "%s %q: %w", at, n.Text, err)
		}
		return nil
	case document.Bool:
		if !f.Optional {
			return errorAt(n.Line, "%s: found %s: write its keys", at, n.Text)
		}
		if n.Text == "true" {
			f.Groups.Add()
		}
		return nil
	case document.Object:
		g := f.Groups.Add()
		if err := applyObject(g.Keys, n, at+"."); err != nil {
			return err
		}
		if err := g.check(); err != nil {
			return errorAt(n.Line, "%s: %w", at, err)
		}
		return nil
	}
	return errorAt(n.Line, "%s: found %s where keys belong", at, n.Kind)
}
