package option

import (
	"strings"
	"unicode/utf8"
)

// columns is the width that help is wrapped to.
const columns = 88

// Help is the program's own help: what it is, its commands, its tables.
func (p *Program) Help() string {
	var b strings.Builder
	b.WriteString(p.Name + ": " + p.Brief + "\n\n")
	b.WriteString("Usage:\n  " + p.Name + " COMMAND [flags] …\n\nCommands:\n")
	var rows []Row
	for _, c := range p.Commands {
		rows = append(rows, Row{c.Name, c.Brief})
	}
	writeRows(&b, rows)
	for _, t := range p.Tables {
		b.WriteString("\n" + t.Title + ":\n")
		writeRows(&b, t.Rows)
	}
	b.WriteString("\n" + p.Name + " COMMAND --help shows one command, with examples.\n")
	return b.String()
}

// Help is one command's help.
func (c *Command) Help(program string) string {
	var b strings.Builder
	b.WriteString(strings.ToUpper(c.Brief[:1]) + c.Brief[1:] + ".\n\nUsage:\n  " + c.Synopsis(program) + "\n")
	for _, p := range c.Long {
		b.WriteString("\n")
		wrap(&b, p, 0, 0)
	}
	b.WriteString("\nFlags:\n")
	var rows []Row
	for _, f := range c.AllFlags() {
		rows = append(rows, Row{f.Head(), f.Text()})
	}
	writeRows(&b, rows)
	for i := range c.Flags {
		if f := &c.Flags[i]; f.Groups != nil {
			b.WriteString("\n" + f.KeysHelp())
		}
	}
	if len(c.Examples) > 0 {
		b.WriteString("\nExamples:\n")
		for _, e := range c.Examples {
			b.WriteString("  # " + e.What + "\n  " + e.Line + "\n")
		}
	}
	return b.String()
}

// KeysHelp lists the keys of a flag's value.
func (f *Flag) KeysHelp() string {
	var b strings.Builder
	b.WriteString("Keys of " + f.Head() + ":\n")
	writeRows(&b, f.KeyRows())
	return b.String()
}

// KeyRows are the keys of a flag's value, and what they mean.
func (f *Flag) KeyRows() (rows []Row) {
	g := f.Groups.Blank()
	for i := range g.Keys {
		k := &g.Keys[i]
		text := k.Text()
		switch {
		case k.Name == g.Main && k.Required:
			text += "; required; as the first item it may stand without the key"
		case k.Name == g.Main:
			text += "; as the first item it may stand without the key"
		case k.Required:
			text += "; required"
		}
		rows = append(rows, Row{k.keyHead(), text})
	}
	return rows
}

// keyHead is the key as it is typed.
func (f *Flag) keyHead() string {
	switch {
	case f.Type == Boolean && f.Default == "":
		return f.Name
	case f.Type == Boolean:
		return f.Name + "=true|false"
	case f.Values != nil:
		return f.Name + "=" + strings.Join(f.Values, "|")
	}
	return f.Name + "=" + f.Arg
}

func (c *Command) Synopsis(program string) string {
	s := program + " " + c.Name + " [flags]"
	if c.Operands != "" {
		s += " " + c.Operands
	}
	return s
}

// AllFlags adds the flag that every command has.
func (c *Command) AllFlags() []Flag {
	return append(c.Flags[:len(c.Flags):len(c.Flags)], Flag{Name: "help", Short: 'h', Help: "show this help"})
}

// head is the flag as it is typed.
func (f *Flag) Head() string {
	s := "--" + f.Name
	switch {
	case f.Arg != "" && f.Optional:
		s += "[=" + f.Arg + "]"
	case f.Arg != "":
		s += " " + f.Arg
	}
	if f.Short != 0 {
		s = "-" + string(rune(f.Short)) + ", " + s
	}
	return s
}

func (f *Flag) Text() string {
	s := f.Help
	if f.Many {
		s += "; may be given more than once"
	}
	if f.Default != "" {
		s += " (default " + f.Default + ")"
	}
	return s
}

func writeRows(b *strings.Builder, rows []Row) {
	w := 0
	for _, r := range rows {
		if n := utf8.RuneCountInString(r.Name); n <= 26 {
			w = max(w, n)
		}
	}
	for _, r := range rows {
		b.WriteString("  " + r.Name)
		n := utf8.RuneCountInString(r.Name)
		if n > w {
			b.WriteString("\n")
			wrap(b, r.Meaning, w+4, 0)
			continue
		}
		b.WriteString(strings.Repeat(" ", w-n+2))
		wrap(b, r.Meaning, w+4, w+4)
	}
}

// wrap writes a paragraph with an indent; at is the column that the first line has reached already.
func wrap(b *strings.Builder, text string, indent, at int) {
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case at == 0:
			b.WriteString(strings.Repeat(" ", indent))
			at = indent
		case i > 0 && at+1+n > columns:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		case i > 0:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	b.WriteString("\n")
}
