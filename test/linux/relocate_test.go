package linux

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/lab/kernels"
	"github.com/mayfly-vm/mayfly/pvh"
)

// intoHole moves a kernel from 16 MiB to 16 MiB above the start of the hole
// below 4 GiB, where no machine has RAM.
const intoHole = 3 << 30

// moved writes a copy of a vmlinux that says it belongs by bytes higher: the
// physical addresses of its segments, its entry, and the entry of note 18.
func moved(t *testing.T, from string, by uint64) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	// ELF-64 header and program headers: gABI, figures "ELF Header" and "Program
	// Header".
	add := func(at uint64) { binary.LittleEndian.PutUint64(b[at:], binary.LittleEndian.Uint64(b[at:])+by) }
	add(0x18) // e_entry
	phoff, n := binary.LittleEndian.Uint64(b[0x20:]), binary.LittleEndian.Uint16(b[0x38:])
	found := false
	for i := range uint64(n) {
		ph := phoff + i*56
		switch elf.ProgType(binary.LittleEndian.Uint32(b[ph:])) {
		case elf.PT_LOAD:
			add(ph + 0x18) // p_paddr
		case elf.PT_NOTE:
			at, size := binary.LittleEndian.Uint64(b[ph+8:]), binary.LittleEndian.Uint64(b[ph+0x20:])
			// namesz 4, descsz 8, type 18, "Xen\0", and the entry in 8 bytes.
			note := "\x04\x00\x00\x00\x08\x00\x00\x00\x12\x00\x00\x00Xen\x00"
			if where := strings.Index(string(b[at:at+size]), note); where >= 0 {
				add(at + uint64(where+len(note)))
				found = true
			}
		}
	}
	if !found {
		t.Fatalf("%s has no note 18 of 8 bytes", from)
	}
	to := filepath.Join(t.TempDir(), "vmlinux-moved")
	if err := os.WriteFile(to, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestRelocatedStart boots a kernel whose own place is no RAM: note 19 lets the
// monitor choose another.
func TestRelocatedStart(t *testing.T) {
	file := moved(t, kernels.Debian612Cloud+"/vmlinux", intoHole)
	for _, c := range []struct {
		memory uint64 // MiB
		load   mayfly.Load
	}{
		{256, mayfly.LoadMap},      // the kernel at the end of memory, the initrd below it
		{5 << 10, mayfly.LoadAuto}, // the kernel below 1 GiB, its limit; the initrd above
	} {
		t.Run(size(2, c.memory), func(t *testing.T) {
			cfg := mayfly.Config{Kernel: file, CPUs: 2, Memory: c.memory * mib, Load: c.load}
			g := start(t, cfg)
			g.ends(mayfly.PowerOff)
			p := *g.vm.Plan()
			if p.Delta == 0 || p.Delta%(2<<20) != 0 {
				t.Errorf("moved by %#x", p.Delta)
			}
			p.Delta += intoHole // what the guest sees, against where Linux belongs
			expect(t, cfg, &p, g.report())
			t.Logf("code at %#x", linuxText+p.Delta)
		})
	}
}

// TestNoRelocationWithoutNote19 asks the impossible: Linux 6.1 has no such note.
func TestNoRelocationWithoutNote19(t *testing.T) {
	file := moved(t, kernels.Debian61Cloud+"/vmlinux", intoHole)
	vm, err := mayfly.New(mayfly.Config{Kernel: file, Memory: 256 * mib})
	if err == nil {
		vm.Close()
		t.Fatal("no error")
	}
	if !errors.Is(err, kernel.ErrNoPlace) || !strings.Contains(err.Error(), "no note 19") || !strings.Contains(err.Error(), "0xc1000000") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
	// The same file in its own place, RAM above the hole or not, is fine.
	for _, name := range []string{kernels.Debian61Cloud, kernels.Debian612Cloud} {
		vm, err := mayfly.New(mayfly.Config{Kernel: name + "/vmlinux", Memory: 256 * mib})
		if err != nil {
			t.Fatal(err)
		}
		if p := vm.Plan(); p.Delta != 0 || p.MemMap[0].Type != pvh.RAM {
			t.Errorf("%s: plan %+v", name, p)
		}
		vm.Close()
	}
}
