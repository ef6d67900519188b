package pvh

import (
	"encoding/binary"
	"fmt"
)

// MemType is the kind of a range in the memory map; the numbers are those of
// the BIOS call E820 (ACPI 6.5, table 15.1).
type MemType uint32

// The types that the ABI defines.
const (
	RAM      MemType = 1
	Reserved MemType = 2
	ACPI     MemType = 3 // tables; RAM once they are read
	NVS      MemType = 4
	Unusable MemType = 5
	Disabled MemType = 6
	PMEM     MemType = 7
)

func (t MemType) String() string {
	switch t {
	case RAM:
		return "RAM"
	case Reserved:
		return "reserved"
	case ACPI:
		return "ACPI"
	case NVS:
		return "NVS"
	case Unusable:
		return "unusable"
	case Disabled:
		return "disabled"
	case PMEM:
		return "PMEM"
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// known reports whether the ABI defines t.
func (t MemType) known() bool { return t >= RAM && t <= PMEM }

// AddrLimit bounds guest-physical addresses: x86 has at most 52 bits of them.
const AddrLimit = 1 << 52

// MemMapEntry is one range of the memory map.
type MemMapEntry struct {
	Addr uint64 // guest-physical
	Size uint64 // bytes
	Type MemType
}

// End is the first address after the range.
func (e MemMapEntry) End() uint64 { return e.Addr + e.Size }

func (e MemMapEntry) String() string {
	return fmt.Sprintf("%v [%#x, %#x)", e.Type, e.Addr, e.End())
}

// CheckMap reports what is wrong with a memory map: it must have at most
// MaxEntries entries, none empty, of known types, below AddrLimit, in ascending
// order and without overlaps. Errors match ErrTooManyEntries, ErrOutOfRange,
// ErrBadType, ErrUnsorted or ErrOverlap.
func CheckMap(m []MemMapEntry) error {
	if len(m) > MaxEntries {
		return fmt.Errorf("pvh: %w: %d, the limit is %d", ErrTooManyEntries, len(m), MaxEntries)
	}
	for i, e := range m {
		if !e.Type.known() {
			return fmt.Errorf("pvh: memory map entry %d: %w %d", i, ErrBadType, uint32(e.Type))
		}
		if e.Size == 0 {
			return fmt.Errorf("pvh: memory map entry %d at %#x: %w: it is empty", i, e.Addr, ErrOutOfRange)
		}
		if err := checkRange("memory map entry", e.Addr, e.Size, AddrLimit); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		if p := m[i-1]; e.Addr < p.Addr {
			return fmt.Errorf("pvh: %w: %v comes after %v", ErrUnsorted, e, p)
		} else if e.Addr < p.End() {
			return &OverlapError{A: p, B: e}
		}
	}
	return nil
}

// AppendMap appends the entries as an array of struct hvm_memmap_table_entry:
// u64 address, u64 size, u32 type, u32 reserved.
func AppendMap(b []byte, m []MemMapEntry) []byte {
	le := binary.LittleEndian
	for _, e := range m {
		b = le.AppendUint64(b, e.Addr)
		b = le.AppendUint64(b, e.Size)
		b = le.AppendUint32(b, uint32(e.Type))
		b = le.AppendUint32(b, 0)
	}
	return b
}

// ParseMap reads an array of struct hvm_memmap_table_entry without checking its
// values. b must be a whole number of entries, at most MaxEntries.
func ParseMap(b []byte) ([]MemMapEntry, error) {
	if len(b)%EntrySize != 0 {
		return nil, fmt.Errorf("pvh: memory map: %w: %d bytes are no whole number of entries of %d", ErrOutOfRange, len(b), EntrySize)
	}
	n := len(b) / EntrySize
	if n > MaxEntries {
		return nil, fmt.Errorf("pvh: %w: %d, the limit is %d", ErrTooManyEntries, n, MaxEntries)
	}
	m := make([]MemMapEntry, 0, n)
	for ; len(b) > 0; b = b[EntrySize:] {
		m = append(m, MemMapEntry{
			Addr: binary.LittleEndian.Uint64(b),
			Size: binary.LittleEndian.Uint64(b[8:]),
			Type: MemType(binary.LittleEndian.Uint32(b[16:])),
		})
	}
	return m, nil
}
