package pvh

import (
	"encoding/binary"
	"fmt"
)

// Types of the notes of this ABI (xen/include/public/elfnote.h).
const (
	NotePhys32Entry = 18 // XEN_ELFNOTE_PHYS32_ENTRY
	NotePhys32Reloc = 19 // XEN_ELFNOTE_PHYS32_RELOC
)

// EntryNote is note 18: where the kernel is entered by PVH.
type EntryNote struct {
	Addr     uint64 // guest-physical, below 4 GiB
	DescSize int    // bytes of the descriptor: 1, 2, 4 or 8
}

// RelocNote is note 19: the kernel may be loaded at other addresses than those of its
// program headers, within these limits. Each of the three may be left out, the last
// ones first.
type RelocNote struct {
	Align, Min, Max          uint32 // Max is the last byte that the image may take
	HasAlign, HasMin, HasMax bool
}

// FindEntry returns the entry note, or nil if there is none. Owner and type
// must both match: others use type 18 too. Two notes that differ, a descriptor
// of an unknown size and an entry above 4 GiB are errors (ErrBadNote).
func FindEntry(notes []Note) (*EntryNote, error) {
	var found *EntryNote
	for _, n := range notes {
		if n.Name != Owner || n.Type != NotePhys32Entry {
			continue
		}
		e, err := parseEntry(n.Desc)
		if err != nil {
			return nil, err
		}
		if found != nil && found.Addr != e.Addr {
			return nil, fmt.Errorf("pvh: %w: two entry notes (18), for %#x and %#x", ErrBadNote, found.Addr, e.Addr)
		}
		found = e
	}
	return found, nil
}

// FindReloc returns the relocation note, or nil if there is none. Two notes
// that differ, an alignment that is no power of two and limits that leave no
// room are errors (ErrBadNote).
func FindReloc(notes []Note) (*RelocNote, error) {
	var found *RelocNote
	for _, n := range notes {
		if n.Name != Owner || n.Type != NotePhys32Reloc {
			continue
		}
		r, err := parseReloc(n.Desc)
		if err != nil {
			return nil, err
		}
		if found != nil && *found != *r {
			return nil, fmt.Errorf("pvh: %w: two relocation notes (19) that differ", ErrBadNote)
		}
		found = r
	}
	return found, nil
}

func parseEntry(desc []byte) (*EntryNote, error) {
	e := &EntryNote{DescSize: len(desc)}
	switch len(desc) {
	case 1:
		e.Addr = uint64(desc[0])
	case 2:
		e.Addr = uint64(binary.LittleEndian.Uint16(desc))
	case 4:
		e.Addr = uint64(binary.LittleEndian.Uint32(desc))
	case 8:
		e.Addr = binary.LittleEndian.Uint64(desc)
	default:
		return nil, fmt.Errorf("pvh: %w: entry note (18) with a descriptor of %d bytes, expected 4 or 8", ErrBadNote, len(desc))
	}
	if e.Addr >= 1<<32 {
		return nil, fmt.Errorf("pvh: %w: entry note (18) has %#x: the entry is 32-bit, expected an address below 4 GiB", ErrBadNote, e.Addr)
	}
	return e, nil
}

func parseReloc(desc []byte) (*RelocNote, error) {
	r := &RelocNote{}
	fields := []struct {
		v   *uint32
		has *bool
	}{{&r.Align, &r.HasAlign}, {&r.Min, &r.HasMin}, {&r.Max, &r.HasMax}}
	for i, f := range fields {
		if len(desc) >= 4*i+4 {
			*f.v, *f.has = binary.LittleEndian.Uint32(desc[4*i:]), true
		}
	}
	if r.HasAlign && (r.Align == 0 || r.Align&(r.Align-1) != 0) {
		return nil, fmt.Errorf("pvh: %w: relocation note (19) with alignment %#x, expected a power of two", ErrBadNote, r.Align)
	}
	if r.HasMax && r.Min > r.Max {
		return nil, fmt.Errorf("pvh: %w: relocation note (19) with lowest start %#x above highest byte %#x", ErrBadNote, r.Min, r.Max)
	}
	return r, nil
}

// Limits returns the note's values with the defaults for those left out.
// maxAlign is the largest p_align of the file's PT_LOAD segments: it is the
// alignment where the note has none, unless it is less than a page (then 2 MiB).
func (r RelocNote) Limits(maxAlign uint64) (align, lowest, highest uint64) {
	align, lowest, highest = uint64(r.Align), uint64(r.Min), 1<<32-1
	if !r.HasAlign {
		align = maxAlign
		if align < 0x1000 {
			align = 0x20_0000
		}
	}
	if r.HasMax {
		highest = uint64(r.Max)
	}
	return align, lowest, highest
}
