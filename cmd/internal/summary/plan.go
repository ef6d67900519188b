package summary

import (
	"fmt"
	"strings"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/safetext"
)

// Plan describes the machine that would be started, in lines that are comments of YAML.
func Plan(p *mayfly.Plan) string {
	var b strings.Builder
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
	return b.String()
}
