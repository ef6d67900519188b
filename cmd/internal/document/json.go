package document

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Parse reads JSON (RFC 8259). Errors are *[Error], without the file.
//
// The standard library's decoder would make the program 0.1 MB larger; and it accepts invalid
// UTF-8 and duplicate names, and doesn't report lines.
func Parse(b []byte) (n *Node, err error) {
	p := &parser{text: b, line: 1}
	if at := invalidUTF8(b); at >= 0 {
		p.line += bytes.Count(b[:at], []byte{'\n'})
		return nil, p.errorf("not UTF-8: save the file so")
	}
	if n, err = p.value(0); err != nil {
		return nil, err
	}
	if p.space(); p.at < len(b) {
		return nil, p.errorf("found %s after the end: a file is one object", p.found())
	}
	return n, nil
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
	at   int
	line int // of text[at]
}

func (p *parser) errorf(format string, a ...any) error {
	return &Error{Line: p.line, Msg: fmt.Sprintf(format, a...)}
}

// found describes the next character, for errors.
func (p *parser) found() string {
	if p.at >= len(p.text) {
		return "the end of the file"
	}
	r, _ := utf8.DecodeRune(p.text[p.at:])
	return fmt.Sprintf("%q", r)
}

// space skips white space and returns the next character; 0 at the end.
func (p *parser) space() byte {
	for ; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case '\n':
			p.line++
		case ' ', '\t', '\r':
		default:
			return p.text[p.at]
		}
	}
	return 0
}

func (p *parser) value(depth int) (n *Node, err error) {
	if depth > MaxDepth {
		return nil, p.errorf("more than %d levels deep: not the description of a machine", MaxDepth)
	}
	c := p.space()
	n = &Node{Line: p.line}
	switch {
	case c == '{':
		n.Kind = Object
		return n, p.members(n, depth)
	case c == '[':
		n.Kind = Array
		return n, p.items(n, depth)
	case c == '"':
		n.Kind = String
		n.Text, err = p.quoted()
		return n, err
	case c == '-' || c >= '0' && c <= '9':
		n.Kind = Number
		n.Text, err = p.number()
		return n, err
	}
	for literal, kind := range map[string]Kind{"null": Null, "true": Bool, "false": Bool} {
		if bytes.HasPrefix(p.text[p.at:], []byte(literal)) {
			p.at += len(literal)
			n.Kind = kind
			if kind == Bool {
				n.Text = literal
			}
			return n, nil
		}
	}
	return nil, p.errorf("found %s where a value belongs: a string stands in double quotes", p.found())
}

func (p *parser) items(n *Node, depth int) error {
	p.at++
	if p.space() == ']' {
		p.at++
		return nil
	}
	for {
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
		switch p.space() {
		case ',':
			p.at++
		case ']':
			p.at++
			return nil
		default:
			return p.errorf("found %s after a value of a list: a comma or ] belongs there", p.found())
		}
	}
}

func (p *parser) members(n *Node, depth int) error {
	p.at++
	if p.space() == '}' {
		p.at++
		return nil
	}
	seen := make(map[string]int)
	for {
		if p.space() != '"' {
			return p.errorf("found %s where a name in double quotes belongs", p.found())
		}
		m := Member{Line: p.line}
		var err error
		if m.Name, err = p.quoted(); err != nil {
			return err
		}
		if first, twice := seen[m.Name]; twice {
			return p.errorf("%q is given twice, first in line %d", m.Name, first)
		}
		seen[m.Name] = m.Line
		if p.space() != ':' {
			return p.errorf("found %s after %q: a colon belongs there", p.found(), m.Name)
		}
		p.at++
		if m.Value, err = p.value(depth + 1); err != nil {
			return err
		}
		n.Members = append(n.Members, m)
		switch p.space() {
		case ',':
			p.at++
		case '}':
			p.at++
			return nil
		default:
			return p.errorf("found %s after the value of %q: a comma or } belongs there", p.found(), m.Name)
		}
	}
}

// number reads -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?
func (p *parser) number() (string, error) {
	begin := p.at
	digits := func() bool {
		from := p.at
		for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
			p.at++
		}
		return p.at > from
	}
	is := func(chars string) bool {
		if p.at < len(p.text) && strings.IndexByte(chars, p.text[p.at]) >= 0 {
			p.at++
			return true
		}
		return false
	}
	is("-")
	zero := is("0")
	if zero && digits() {
		p.at = begin
		return "", p.errorf("found a number that begins with 0: write it in decimal, without leading zeroes")
	}
	ok := zero || digits()
	if ok && is(".") {
		ok = digits()
	}
	if ok && is("eE") {
		is("+-")
		ok = digits()
	}
	if !ok {
		return "", p.errorf("found %s in a number", p.found())
	}
	return string(p.text[begin:p.at]), nil
}

var errEscape = errors.New("unknown escape")

// quoted reads a string.
func (p *parser) quoted() (string, error) {
	p.at++
	var b strings.Builder
	for {
		if p.at >= len(p.text) {
			return "", p.errorf("the file ends inside of a string")
		}
		c := p.text[p.at]
		switch {
		case c == '"':
			p.at++
			return b.String(), nil
		case c < ' ':
			return "", p.errorf("found %s in a string: it ends in its line, and \\n or \\u0000 stands for such a character", p.found())
		case c != '\\':
			b.WriteByte(c)
			p.at++
		default:
			r, err := p.escape()
			if err != nil {
				return "", p.errorf("found an escape in a string that JSON doesn't know: a backslash itself is written twice")
			}
			b.WriteRune(r)
		}
	}
}

func (p *parser) escape() (rune, error) {
	rest := p.text[p.at+1:]
	if len(rest) == 0 {
		return 0, errEscape
	}
	if rest[0] == 'u' {
		r, err := p.unit()
		if err != nil || !utf16.IsSurrogate(r) {
			return r, err
		}
		low, err := p.unit() // the other half
		if r = utf16.DecodeRune(r, low); err != nil || r == utf8.RuneError {
			return 0, errEscape
		}
		return r, nil
	}
	i := strings.IndexByte(`"\/bfnrt`, rest[0])
	if i < 0 {
		return 0, errEscape
	}
	p.at += 2
	return rune("\"\\/\b\f\n\r\t"[i]), nil
}

// unit reads \uXXXX.
func (p *parser) unit() (r rune, err error) {
	if len(p.text)-p.at < 6 || p.text[p.at] != '\\' || p.text[p.at+1] != 'u' {
		return 0, errEscape
	}
	for _, c := range p.text[p.at+2 : p.at+6] {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if d < 0 || c < '0' {
			return 0, errEscape
		}
		r = r<<4 | rune(d)
	}
	p.at += 6
	return r, nil
}
