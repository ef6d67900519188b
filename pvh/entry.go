package pvh

// Bits of control registers and flags that an entry state has.
const (
	cr0PE = 1 << 0 // protection
	cr0ET = 1 << 4 // hard-wired on every processor since the 486
)

// GDTAddr is where the boot GDT may lie; a guest brings its own.
const GDTAddr = 0x500

// EntryState is the state of the first processor at the PVH entry. What isn't
// here is unspecified by the ABI; zero does. (Xen, docs/misc/pvh.pandoc.)
type EntryState struct {
	RIP    uint64
	RBX    uint64 // address of start info
	RFlags uint64 // bit 1 is always set; VM, IF and TF are clear
	CR0    uint64
	CR4    uint64
	CS     Segment
	Data   Segment // for DS, ES and SS, and for FS and GS
	TR     Segment
	// GDT is a table that agrees with the segments, for GDTAddr.
	GDT [4]uint64
}

// Segment is a segment register with its hidden part, in the terms of KVM and
// of the descriptor (Intel SDM volume 3, section 3.4.5).
type Segment struct {
	Selector uint16
	Base     uint64
	Limit    uint32 // bytes, whatever G is
	Type     uint8
	DPL      uint8
	S        bool // code or data, not system
	Present  bool
	L        bool // 64-bit code
	DB       bool // 32-bit
	G        bool // the limit counts pages in the descriptor
	AVL      bool
}

// NewEntryState returns the state for a kernel whose entry note has entry,
// with start info at info.
func NewEntryState(entry, info uint64) EntryState {
	s := EntryState{
		RIP:    entry,
		RBX:    info,
		RFlags: 1 << 1,
		CR0:    cr0PE | cr0ET,
		CS:     Segment{Selector: 0x08, Limit: 0xFFFF_FFFF, Type: 0xB, S: true, Present: true, DB: true, G: true},
		Data:   Segment{Selector: 0x10, Limit: 0xFFFF_FFFF, Type: 0x3, S: true, Present: true, DB: true, G: true},
		TR:     Segment{Selector: 0x18, Limit: 0x67, Type: 0xB, Present: true},
	}
	s.GDT = [4]uint64{0, s.CS.Descriptor(), s.Data.Descriptor(), s.TR.Descriptor()}
	return s
}

// Descriptor encodes the segment as an entry of a GDT. The upper half of a base
// above 4 GiB, which system segments in 64-bit mode have, is not in it.
func (s Segment) Descriptor() uint64 {
	limit := uint64(s.Limit)
	if s.G {
		limit >>= 12
	}
	d := limit&0xFFFF | limit>>16&0xF<<48
	d |= s.Base&0xFF_FFFF<<16 | s.Base>>24&0xFF<<56
	d |= uint64(s.Type&0xF)<<40 | uint64(s.DPL&3)<<45
	for _, f := range []struct {
		on  bool
		bit uint
	}{{s.S, 44}, {s.Present, 47}, {s.AVL, 52}, {s.L, 53}, {s.DB, 54}, {s.G, 55}} {
		if f.on {
			d |= 1 << f.bit
		}
	}
	return d
}
