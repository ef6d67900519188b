package pvh

// The hole below 4 GiB that devices, I/O APIC and local APICs live in.
const (
	HoleStart = 0xC000_0000
	HoleEnd   = 0x1_0000_0000
)

// Range is a range of guest-physical memory.
type Range struct{ Addr, Size uint64 }

// RAMRanges lays size bytes of RAM around the hole: up to 3 GiB from address 0,
// the rest from 4 GiB. There are no ranges for a size of 0. That a huge size
// leaves the address space is for [MapBuilder] to find.
func RAMRanges(size uint64) []Range {
	switch {
	case size == 0:
		return nil
	case size <= HoleStart:
		return []Range{{0, size}}
	default:
		return []Range{{0, HoleStart}, {HoleEnd, size - HoleStart}}
	}
}
