package linuxboot

import "github.com/mayfly-vm/mayfly/pvh"

const (
	cr0PE   = 1 << 0
	cr0ET   = 1 << 4
	cr0PG   = 1 << 31
	cr4PAE  = 1 << 5
	eferLME = 1 << 8
	eferLMA = 1 << 10
)

// EntryState is the state of the first processor at the 64-bit entry
// (boot.rst, "64-bit Boot Protocol"). What isn't here may be zero.
type EntryState struct {
	RIP    uint64
	RSI    uint64 // address of the zero page
	RFlags uint64 // bit 1 is always set; IF is clear
	CR0    uint64
	CR3    uint64 // address of PageTables
	CR4    uint64
	EFER   uint64
	CS     pvh.Segment // selector 0x10
	Data   pvh.Segment // selector 0x18, for DS, ES and SS, and for FS and GS
	TR     pvh.Segment
	// GDT is a table that agrees with the segments, for pvh.GDTAddr.
	GDT [6]uint64
}

// NewEntryState returns the state for a kernel that is entered at entry, with
// the zero page at zeroPage and page tables at pageTables. All are
// guest-physical addresses, which the page tables map to themselves.
func NewEntryState(entry, zeroPage, pageTables uint64) EntryState {
	s := EntryState{
		RIP:    entry,
		RSI:    zeroPage,
		RFlags: 1 << 1,
		CR0:    cr0PE | cr0ET | cr0PG,
		CR3:    pageTables,
		CR4:    cr4PAE,
		EFER:   eferLME | eferLMA,
		CS:     pvh.Segment{Selector: 0x10, Limit: 0xFFFF_FFFF, Type: 0xB, S: true, Present: true, L: true, G: true},
		Data:   pvh.Segment{Selector: 0x18, Limit: 0xFFFF_FFFF, Type: 0x3, S: true, Present: true, DB: true, G: true},
		TR:     pvh.Segment{Selector: 0x20, Limit: 0x67, Type: 0xB, Present: true},
	}
	// A 64-bit TSS descriptor takes two entries; the second is the upper half
	// of its base, 0.
	s.GDT = [6]uint64{2: s.CS.Descriptor(), 3: s.Data.Descriptor(), 4: s.TR.Descriptor()}
	return s
}
