package pvh

// The hole below 4 GiB that devices, I/O APIC and local APICs live in.
const (
	HoleStart = 0xC000_0000
	HoleEnd   = 0x1_0000_0000
)

// RAMRanges are the entries of a memory map for size bytes of RAM around the
// hole: up to 3 GiB from address 0, the rest from 4 GiB. A size of 0 has none.
// [MapBuilder] rejects a size that exceeds the address space.
func RAMRanges(size uint64) []MemMapEntry {
	switch {
	case size == 0:
		return nil
	case size <= HoleStart:
		return []MemMapEntry{{Addr: 0, Size: size, Type: RAM}}
	default:
		return []MemMapEntry{{Addr: 0, Size: HoleStart, Type: RAM}, {Addr: HoleEnd, Size: size - HoleStart, Type: RAM}}
	}
}
