// Package document reads configuration files into trees whose nodes know their lines. JSON is read here; YAML is turned
// into JSON with the same lines by the program mayfly-config, so that this one links no YAML.
//
// A file is untrusted input: its size, its depth and what YAML's aliases make of it are bounded.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Limits of a file. A machine takes some ten lines, and five levels.
const (
	MaxBytes = 1 << 20
	MaxDepth = 16
)

// byteOrderMark is what some editors begin UTF-8 with; RFC 8259 lets a reader ignore it.
const byteOrderMark = "\ufeff"

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

// Error is a file whose content is invalid.
type Error struct {
	File string
	Line int // 0: unknown
	Msg  string
	Err  error // why a value was refused, if one was
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Error is one line: file, line, what was found, what was expected.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Read reads a file. Its error is an *Error where the content is invalid, else that of reading the file.
func Read(path string) (*Node, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := Text(f)
	if err != nil {
		return nil, err
	}
	return Content(path, b)
}

// Text reads what a file holds, up to what Content refuses.
func Text(f io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(f, MaxBytes+1)) }

// Content is Read for what a file of that name holds.
func Content(path string, b []byte) (*Node, error) {
	if len(b) > MaxBytes {
		return nil, &Error{File: path, Msg: fmt.Sprintf("more than %d KiB: not the description of a machine", MaxBytes>>10)}
	}
	b = bytes.TrimPrefix(b, []byte(byteOrderMark))
	if !isJSON(path, b) {
		var err error
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

// isJSON decides by the name's extension, or else by the first character.
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
