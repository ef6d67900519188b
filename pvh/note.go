package pvh

import (
	"encoding/binary"
	"fmt"
)

// Owner is the name in the notes of this ABI, as it lies in the file: four
// bytes with the NUL.
const Owner = "Xen\x00"

// MaxNotes bounds what ParseNotes returns. Linux has about 20 notes; the bound
// keeps a file of nothing but tiny notes from costing memory.
const MaxNotes = 4096

// Note is an ELF note (gABI, "Note Section").
type Note struct {
	Name string // as in the file, with its NUL
	Type uint32
	Desc []byte // aliases the bytes that were parsed
}

// ParseNotes reads the notes of a PT_NOTE segment or SHT_NOTE section. align is
// the segment's p_align or the section's sh_addralign: names and descriptors
// are padded to 8 bytes where it is 8, else to 4, as linkers do. Notes that are all
// zeros are padding and skipped.
//
// Lengths in data are checked: a note that extends beyond the end of data is an
// error (ErrBadNote). The notes before it are returned with the error.
func ParseNotes(data []byte, align uint64) ([]Note, error) {
	pad := uint64(4)
	if align == 8 {
		pad = 8
	}
	var notes []Note
	size := uint64(len(data))
	for off := uint64(0); off < size; {
		if size-off < 12 {
			if allZero(data[off:]) {
				break
			}
			return notes, fmt.Errorf("pvh: %w at offset %d: %d bytes are left, a note has at least 12", ErrBadNote, off, size-off)
		}
		nameSize := uint64(binary.LittleEndian.Uint32(data[off:]))
		descSize := uint64(binary.LittleEndian.Uint32(data[off+4:]))
		typ := binary.LittleEndian.Uint32(data[off+8:])
		if nameSize == 0 && descSize == 0 && typ == 0 {
			off += 12
			continue
		}
		// The lengths have 32 bits, so these sums don't wrap.
		name := off + 12
		desc := alignUp(name+nameSize, pad)
		if descSize == 0 {
			desc = name + nameSize // the padding may be cut off at the end
		}
		end := desc + descSize
		if name+nameSize > size || end > size {
			return notes, fmt.Errorf("pvh: %w at offset %d: name of %d and descriptor of %d bytes extend beyond the end at %d",
				ErrBadNote, off, nameSize, descSize, size)
		}
		if len(notes) == MaxNotes {
			return notes, fmt.Errorf("pvh: %w at offset %d: more than %d notes", ErrBadNote, off, MaxNotes)
		}
		notes = append(notes, Note{
			Name: string(data[name : name+nameSize]),
			Type: typ,
			Desc: data[desc:end:end],
		})
		off = alignUp(end, pad)
	}
	return notes, nil
}

// AppendNote appends n, padded to 4 bytes.
func AppendNote(b []byte, n Note) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(len(n.Name)))
	b = le.AppendUint32(b, uint32(len(n.Desc)))
	b = le.AppendUint32(b, n.Type)
	b = append(b, n.Name...)
	b = append(b, make([]byte, -len(n.Name)&3)...)
	b = append(b, n.Desc...)
	return append(b, make([]byte, -len(n.Desc)&3)...)
}

func alignUp(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
