package main

import (
	"fmt"
	"strings"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/internal/safetext"
	"github.com/mayfly-vm/mayfly/kernel"
)

func inspectCommand() *option.Command {
	var asJSON bool
	var o kernel.Options
	return &option.Command{
		Name: "inspect", Operands: "FILE", Brief: "tell what a kernel file is and how it would be booted", MinArgs: 1, MaxArgs: 1, Files: true,
		Long: []string{"Shows format, compression, version, entry notes, the limits for other places in memory, the segments, and which protocol would be used and why. Nothing is booted, and no KVM is needed."},
		Flags: []option.Flag{
			{Name: "json", Help: "as JSON", Value: option.Bool(&asJSON)},
			{Name: "cache-dir", Arg: "DIR", Help: "where unpacked kernels are kept (default: mayfly/kernels in the user's cache folder)", Value: option.Path(&o.CacheDir)},
		},
		Examples: []option.Example{
			{Line: "mayfly inspect /boot/vmlinuz-$(uname -r)", What: "look at this host's kernel"},
			{Line: "mayfly inspect --json vmlinux | jq -r .protocol", What: "for scripts"},
		},
		Run: func(operands []string) int {
			im, err := kernel.Open(operands[0], o)
			if err != nil {
				return fail(err, "inspect")
			}
			defer im.Close()
			r := im.Inspect()
			if asJSON {
				return printJSON(r)
			}
			return printText(inspection(r))
		},
	}
}

// inspection writes a report for people.
func inspection(r kernel.Report) string {
	var b strings.Builder
	row := func(name, format string, a ...any) {
		fmt.Fprintf(&b, "%-12s  %s\n", name, safetext.Line(fmt.Sprintf(format, a...)))
	}
	row("file", "%s", r.Path)
	format := string(r.Format)
	if r.Compression != "" {
		format += ", packed with " + r.Compression
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
		row("relocation", "none: it must lie where it says")
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
