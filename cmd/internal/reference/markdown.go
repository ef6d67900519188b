package reference

import (
	"strings"

	"github.com/mayfly-vm/mayfly/cmd/internal/option"
)

// Markdown is the reference of the whole program.
func Markdown(p *option.Program) string {
	var b strings.Builder
	b.WriteString("# The command `" + p.Name + "`\n\n")
	for _, s := range p.Long {
		b.WriteString(s + "\n\n")
	}
	var rows []option.Row
	for _, c := range p.Commands {
		rows = append(rows, option.Row{Name: "[" + c.Name + "](#" + p.Name + "-" + c.Name + ")", Meaning: c.Brief})
	}
	mdTable(&b, "Command", rows, "")
	for _, t := range p.Tables {
		b.WriteString("\n## " + t.Title + "\n\n")
		mdTable(&b, "", t.Rows, "`")
	}
	for _, c := range p.Commands {
		b.WriteString("\n## " + p.Name + " " + c.Name + "\n\n```\n" + c.Synopsis(p.Name) + "\n```\n\n")
		b.WriteString(strings.ToUpper(c.Brief[:1]) + c.Brief[1:] + ".\n")
		for _, s := range c.Long {
			b.WriteString("\n" + s + "\n")
		}
		b.WriteString("\n")
		rows = rows[:0]
		for _, f := range c.AllFlags() {
			rows = append(rows, option.Row{Name: f.Head(), Meaning: f.Text()})
		}
		mdTable(&b, "Flag", rows, "`")
		for i := range c.Flags {
			if f := &c.Flags[i]; f.Groups != nil {
				b.WriteString("\n### Keys of --" + f.Name + "\n\n" + KeysMarkdown(f))
			}
		}
		if len(c.Examples) > 0 {
			b.WriteString("\n```sh\n")
			for _, e := range c.Examples {
				b.WriteString("# " + e.What + "\n" + e.Line + "\n")
			}
			b.WriteString("```\n")
		}
	}
	return b.String()
}

// KeysMarkdown is a table of the keys of a flag's value.
func KeysMarkdown(f *option.Flag) string {
	var b strings.Builder
	mdTable(&b, "`--"+f.Name+"`", f.KeyRows(), "`")
	return b.String()
}

func mdTable(b *strings.Builder, head string, rows []option.Row, quote string) {
	b.WriteString("| " + head + " | |\n| --- | --- |\n")
	for _, r := range rows {
		b.WriteString("| " + quote + strings.ReplaceAll(r.Name, "|", `\|`) + quote + " | " + strings.ReplaceAll(r.Meaning, "|", `\|`) + " |\n")
	}
}
