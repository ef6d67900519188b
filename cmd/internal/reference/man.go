package reference

import (
	"fmt"
	"strings"

	"github.com/mayfly-vm/mayfly/cmd/internal/option"
)

// Man is the manual page, section 1, in roff with the man macros (man(7)).
func Man(p *option.Program) string {
	var b strings.Builder
	line := func(s string) { b.WriteString(s + "\n") }
	line(".TH " + strings.ToUpper(p.Name) + ` 1 "" "` + roff(p.Version) + `" "User Commands"`)
	line(".SH NAME")
	line(roff(p.Name) + ` \- ` + roff(p.Brief))
	line(".SH SYNOPSIS")
	for i, c := range p.Commands {
		if i > 0 {
			line(".br")
		}
		line(`\fB` + roff(p.Name+" "+c.Name) + `\fR [\fIflags\fR] ` + roff(c.Operands))
	}
	line(".SH DESCRIPTION")
	for i, s := range p.Long {
		if i > 0 {
			line(".PP")
		}
		line(roff(s))
	}
	line(".SH COMMANDS")
	for _, c := range p.Commands {
		line(".SS " + roff(strings.TrimSpace(c.Name+" "+c.Operands)))
		line(roff(strings.ToUpper(c.Brief[:1]) + c.Brief[1:] + "."))
		for _, s := range c.Long {
			line(".PP")
			line(roff(s))
		}
		for _, f := range c.AllFlags() {
			line(".TP")
			line(`\fB` + roff(f.Head()) + `\fR`)
			line(roff(f.Text() + "."))
			if f.Groups == nil {
				continue
			}
			line(".RS")
			for _, k := range f.KeyRows() {
				line(".TP")
				line(`\fB` + roff(k.Name) + `\fR`)
				line(roff(k.Meaning + "."))
			}
			line(".RE")
		}
	}
	for _, t := range p.Tables {
		line(".SH " + strings.ToUpper(roff(t.Title)))
		for _, r := range t.Rows {
			line(".TP")
			line(`\fB` + roff(r.Name) + `\fR`)
			line(roff(r.Meaning + "."))
		}
	}
	line(".SH EXAMPLES")
	for _, c := range p.Commands {
		for _, e := range c.Examples {
			line(".TP")
			line(roff(strings.ToUpper(e.What[:1]) + e.What[1:] + ":"))
			line(".nf")
			line(roff(e.Line))
			line(".fi")
		}
	}
	return b.String()
}

// roff makes text safe: every character that roff would take for something else, or not know, is named, and no line begins
// a request.
func roff(s string) string {
	var b strings.Builder
	if strings.HasPrefix(s, ".") {
		b.WriteString(`\&`)
	}
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteByte(' ')
		case strings.ContainsRune("\\-\"'~^`", r):
			b.WriteString(map[rune]string{'\\': `\e`, '-': `\-`, '"': `\(dq`, '\'': `\(aq`, '~': `\(ti`, '^': `\(ha`, '`': `\(ga`}[r])
		case r > 0x7e:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
