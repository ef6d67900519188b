package pvh_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/pvh"
)

func TestEntryState(t *testing.T) {
	s := pvh.NewEntryState(0x2f8a620, 0x6000)
	if s.RIP != 0x2f8a620 || s.RBX != 0x6000 || s.RFlags != 2 || s.CR0 != 0x11 || s.CR4 != 0 {
		t.Errorf("registers %+v", s)
	}
	if want := [4]uint64{0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00008b0000000067}; s.GDT != want {
		t.Errorf("GDT %#x, want %#x", s.GDT, want)
	}
	for _, seg := range []pvh.Segment{s.CS, s.Data, s.TR} {
		if s.GDT[seg.Selector/8] != seg.Descriptor() {
			t.Errorf("selector %#x isn't %+v", seg.Selector, seg)
		}
	}
}

func TestDescriptor(t *testing.T) {
	s := pvh.Segment{Base: 0xA1B2C3D4, Limit: 0xFEDCB, Type: 0xF, DPL: 3, S: true, Present: true, L: true, AVL: true}
	if d := s.Descriptor(); d != 0xA13F_FFB2_C3D4_EDCB {
		t.Errorf("%#x", d)
	}
}
