package summary

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/pvh"
)

func TestKernel(t *testing.T) {
	entry := kernel.Address(0x1000)
	got := Kernel(kernel.Report{
		Path: "bz\n# forged", Format: kernel.FormatBzImage, Compression: "zstd", Version: "6.12\x1b[31m", Class: 64, Machine: "x86-64", Entry: 0x2000, PVHEntry: &entry,
		Relocation: &kernel.Relocation{Align: 0x200000, Lowest: 0x1000000, Highest: 0x7fffffff}, Lowest: 0x1000, Highest: 0x4fff, Protocol: "PVH", Reason: "it has a PVH entry", Guest: "Linux", GuestReason: "a note",
		Segments: []kernel.ReportSegment{{Paddr: 0x1000, Memsz: 0x4000, Filesz: 0x3000, Offset: 0x1000, Flags: "RWX", Mappable: true}, {Paddr: 0x9000, Memsz: 1, Filesz: 1, Offset: 0x1001, Flags: "RW-"}},
		Notes:    []kernel.ReportNote{{Owner: "Xen\x00", Type: 18, Size: 8, Name: "PHYS32_ENTRY"}},
	})
	want := `file          bz\n# forged
format        bzImage (zstd); ELF64 for x86-64
version       6.12\x1b[31m
memory        0x1000 - 0x4fff
ELF entry     0x2000
PVH entry     0x1000
relocation    anywhere in 0x1000000 - 0x7fffffff, aligned to 0x200000
boot          PVH: it has a PVH entry
guest         Linux: a note

segments      address        in memory     in file      offset  flags  loading
0             0x1000             16384       12288      0x1000    RWX  map or copy
1             0x9000                 1           1      0x1001    RW-  copy only: the file isn't aligned to pages

notes         type               bytes  name
Xen\x00       0x12                   8  PHYS32_ENTRY
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	none := Kernel(kernel.Report{Path: "k", Reason: "no entry"})
	for _, want := range []string{"PVH entry     none\n", "relocation    none: ", "boot          not possible: no entry\n"} {
		if !strings.Contains(none, want) {
			t.Errorf("no %q in\n%s", want, none)
		}
	}
}

// Each line is a comment, whatever the command line holds.
func TestPlan(t *testing.T) {
	got := Plan(&mayfly.Plan{
		Protocol: kernel.PVH, Why: "asked for", PlatformWhy: "a note", Delta: -0x200000, Entry: 0x1000, Initrd: memory.Range{Addr: 0x8000, Size: 5}, Cmdline: "quiet\nkernel: forged", Warnings: []string{"noapic: no"},
		MemMap: []pvh.MemMapEntry{{Addr: 0, Size: 0x1000, Type: 1}, {Addr: 0x1000, Size: 0x1000, Type: 2}},
	})
	for _, want := range []string{"# entered by     PVH: asked for\n", "# moved by       -0x200000\n", "# initrd at      0x8000, 5 bytes\n", `# command line   quiet\nkernel: forged` + "\n", "# warning        noapic: no\n", "# memory map     0x000000000000 - 0x000000000fff  RAM\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for line := range strings.Lines(got) {
		if !strings.HasPrefix(line, "# ") {
			t.Errorf("not a comment: %q", line)
		}
	}
}
