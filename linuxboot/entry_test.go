package linuxboot_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/linuxboot"
	"github.com/mayfly-vm/mayfly/pvh"
)

func TestEntryState(t *testing.T) {
	s := linuxboot.NewEntryState(0x1000000, 0x8000, 0x9000)
	if s.RIP != 0x1000000 || s.RSI != 0x8000 || s.CR3 != 0x9000 || s.RFlags != 2 {
		t.Errorf("registers %+v", s)
	}
	if s.CR0 != 0x80000011 || s.CR4 != 0x20 || s.EFER != 0x500 {
		t.Errorf("cr0 %#x, cr4 %#x, efer %#x", s.CR0, s.CR4, s.EFER)
	}
	if want := [6]uint64{0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00008b0000000067, 0}; s.GDT != want {
		t.Errorf("GDT %#x, want %#x", s.GDT, want)
	}
	if s.CS.Selector != 0x10 || s.Data.Selector != 0x18 {
		t.Errorf("selectors %#x and %#x", s.CS.Selector, s.Data.Selector)
	}
	for _, seg := range []pvh.Segment{s.CS, s.Data, s.TR} {
		if s.GDT[seg.Selector/8] != seg.Descriptor() {
			t.Errorf("selector %#x isn't %+v", seg.Selector, seg)
		}
	}
}

// walk translates a virtual address as a processor does, and counts tables that
// lie outside of b as not present.
func walk(b []byte, base, va uint64) (pa uint64, ok bool) {
	table := base
	for _, shift := range []uint{39, 30, 21} {
		off := table - base + va>>shift&511*8
		if table < base || off+8 > uint64(len(b)) {
			return 0, false
		}
		e := le.Uint64(b[off:])
		if e&3 != 3 {
			return 0, false
		}
		if shift == 21 {
			return e&^0x1FFFFF | va&0x1FFFFF, e&0x80 != 0
		}
		table = e &^ 0xFFF
	}
	return 0, false
}

func TestPageTablesMapFirst4GiBToThemselves(t *testing.T) {
	const base = 0x9000
	b := linuxboot.PageTables(base)
	if len(b) != linuxboot.PageTablesSize {
		t.Fatalf("%d bytes", len(b))
	}
	for va := uint64(0x1234); va < 1<<32; va += 1 << 21 {
		if pa, ok := walk(b, base, va); !ok || pa != va {
			t.Fatalf("%#x is mapped to %#x, %v", va, pa, ok)
		}
	}
	for _, va := range []uint64{1 << 32, 1 << 39, 1 << 47} {
		if pa, ok := walk(b, base, va); ok {
			t.Errorf("%#x is mapped to %#x", va, pa)
		}
	}
}
