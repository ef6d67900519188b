package soft

// Registers of memory types: PAT and MTRR. There are no caches; what can be written is what a
// processor takes. Source: Intel SDM volume 3, chapter 12.11 and 12.12.

// isMTRR reports whether a model-specific register is one of them.
func isMTRR(index uint32) bool {
	switch index {
	case 0x250, 0x258, 0x259, 0x268, 0x269, 0x26A, 0x26B, 0x26C, 0x26D, 0x26E, 0x26F, msrMTRRDefault:
		return true
	}
	return index >= msrMTRRFirst && index <= msrMTRRLast
}

// Types of memory.
const (
	memoryWP       = 5
	memoryWB       = 6
	memoryUncached = 7 // UC-, of PAT alone
)

func isMemoryType(v uint64) bool { return v == 0 || v == 1 || v == 4 || v == memoryWP || v == memoryWB }

// validPAT and validMTRR report whether a value can be written.
func validPAT(v uint64) bool {
	for range 8 {
		if !isMemoryType(v&0xFF) && v&0xFF != memoryUncached {
			return false
		}
		v >>= 8
	}
	return true
}

func (c *CPU) validMTRR(index uint32, v uint64) bool {
	switch {
	case index == msrMTRRDefault:
		return v&^0xCFF == 0 && isMemoryType(v&0xFF)
	case index > msrMTRRLast: // of fixed ranges
		for range 8 {
			if !isMemoryType(v & 0xFF) {
				return false
			}
			v >>= 8
		}
		return true
	case v>>c.physBits() != 0:
		return false
	case index&1 == 0: // a base
		return v&0xF00 == 0 && isMemoryType(v&0xFF)
	}
	return v&0x7FF == 0 // a mask
}
