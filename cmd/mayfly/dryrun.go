package main

import (
	"fmt"
	"strings"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/internal/safetext"
)

// show prints the machine that flags and file describe, as a file for --config. Comments tell how it would be laid out.
func (o *runOptions) show() int {
	p, err := mayfly.NewPlan(o.cfg)
	if err != nil {
		return fail(o.cmdline.explain(err, o.cfg.Bus, o.terminalName()), "run")
	}
	var b strings.Builder
	b.WriteString("# The machine, as mayfly run --config FILE starts it.\n")
	machine, err := option.YAML(o.machine())
	if err != nil {
		return fail(err, "run")
	}
	b.WriteString(machine)
	b.WriteString("\n# What comes of it:\n")
	row := func(name, format string, a ...any) {
		// A comment ends with its line, whatever a name holds.
		text := safetext.Line(fmt.Sprintf(format, a...))
		b.WriteString(strings.TrimRight(fmt.Sprintf("# %-14s %s", name, text), " ") + "\n")
	}
	row("entered by", "%v: %s", p.Protocol, p.Why)
	row("platform", "%v: %s", p.Platform, p.PlatformWhy)
	row("entry", "%#x", p.Entry)
	if p.Delta != 0 {
		row("moved by", "%+#x", p.Delta)
	}
	if p.Initrd.Size > 0 {
		row("initrd at", "%#x, %d bytes", uint64(p.Initrd.Addr), p.Initrd.Size)
	}
	row("command line", "%s", p.Cmdline)
	for _, w := range p.Warnings {
		row("warning", "%s", w)
	}
	for i, e := range p.MemMap {
		name := ""
		if i == 0 {
			name = "memory map"
		}
		row(name, "%#012x - %#012x  %v", e.Addr, e.Addr+e.Size-1, e.Type)
	}
	return printText(b.String())
}
