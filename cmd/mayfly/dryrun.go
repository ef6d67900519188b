package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
)

// show prints the machine that the flags describe.
func (o *runOptions) show() int {
	p, err := mayfly.NewPlan(o.cfg)
	if err != nil {
		return fail(err, "run")
	}
	c := &o.cfg
	var b strings.Builder
	row := func(name, format string, a ...any) { fmt.Fprintf(&b, "%-14s %s\n", name, fmt.Sprintf(format, a...)) }
	row("kernel", "%s", c.Kernel)
	row("entered by", "%v: %s", p.Protocol, p.Why)
	row("entry", "%#x", p.Entry)
	if p.Delta != 0 {
		row("moved by", "%+#x", p.Delta)
	}
	for _, path := range c.Initrd {
		row("initrd", "%s", path)
	}
	if p.Initrd.Size > 0 {
		row("initrd at", "%#x, %d bytes", uint64(p.Initrd.Addr), p.Initrd.Size)
	}
	row("command line", "%s", p.Cmdline)
	row("CPUs", "%d", max(c.CPUs, mayfly.DefaultCPUs))
	memory := c.Memory
	if memory == 0 {
		memory = mayfly.DefaultMemory
	}
	backing := "transparent huge pages where the host has them"
	if c.HugePages {
		backing = "reserved huge pages"
	}
	if c.Prealloc {
		backing += ", all present from the start"
	}
	row("memory", "%s, %s", option.SizeText(memory), backing)
	row("loading", "%v", c.Load)
	for i, e := range p.MemMap {
		name := ""
		if i == 0 {
			name = "memory map"
		}
		row(name, "%#012x - %#012x  %v", e.Addr, e.Addr+e.Size-1, e.Type)
	}
	if _, err := os.Stdout.WriteString(b.String()); err != nil {
		return fail(err, "run")
	}
	return exitOK
}
