// Package summary writes what is known of kernels and of machines to come as text for people.
package summary

import (
	"fmt"
	"strings"

	"github.com/mayfly-vm/mayfly/internal/safetext"
	"github.com/mayfly-vm/mayfly/kernel"
)

// Kernel describes a kernel file.
func Kernel(r kernel.Report) string {
	var b strings.Builder
	row := func(name, format string, a ...any) {
		fmt.Fprintf(&b, "%-12s  %s\n", name, safetext.Line(fmt.Sprintf(format, a...)))
	}
	row("file", "%s", r.Path)
	format := string(r.Format)
	if r.Compression != "" {
		format += " (" + r.Compression + ")"
	}
	row("format", "%s; ELF%d for %s", format, r.Class, r.Machine)
	if r.Version != "" {
		row("version", "%s", r.Version)
	}
	row("memory", "%#x - %#x", uint64(r.Lowest), uint64(r.Highest))
	row("ELF entry", "%#x", uint64(r.Entry))
	if r.PVHEntry != nil {
		row("PVH entry", "%#x", uint64(*r.PVHEntry))
	} else {
		row("PVH entry", "none")
	}
	if l := r.Relocation; l != nil {
		row("relocation", "anywhere in %#x - %#x, aligned to %#x", uint64(l.Lowest), uint64(l.Highest), uint64(l.Align))
	} else {
		row("relocation", "none: it runs at its own addresses only")
	}
	if r.Protocol != "" {
		row("boot", "%s: %s", r.Protocol, r.Reason)
	} else {
		row("boot", "not possible: %s", r.Reason)
	}
	row("guest", "%s: %s", r.Guest, r.GuestReason)
	fmt.Fprintf(&b, "\n%-12s  %-12s  %10s  %10s  %10s  %5s  %s\n", "segments", "address", "in memory", "in file", "offset", "flags", "loading")
	for i, s := range r.Segments {
		how := "map or copy"
		if !s.Mappable {
			how = "copy only: the file isn't aligned to pages"
		}
		fmt.Fprintf(&b, "%-12d  %#-12x  %10d  %10d  %#10x  %5s  %s\n", i, uint64(s.Paddr), s.Memsz, s.Filesz, uint64(s.Offset), s.Flags, how)
	}
	if len(r.Notes) > 0 {
		fmt.Fprintf(&b, "\n%-12s  %-12s  %10s  %s\n", "notes", "type", "bytes", "name")
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "%-12s  %#-12x  %10d  %s\n", safetext.Line(n.Owner), n.Type, n.Size, safetext.Line(n.Name))
	}
	return b.String()
}
