package native

import "unsafe"

func cas8(p unsafe.Pointer, old, new uint8) bool
func cas16(p unsafe.Pointer, old, new uint16) bool
func cas32(p unsafe.Pointer, old, new uint32) bool
func cas64(p unsafe.Pointer, old, new uint64) bool
func cas128(p unsafe.Pointer, oldLow, oldHigh, newLow, newHigh uint64) (low, high uint64, ok bool)

// CompareAndSwap replaces n bytes, 1, 2, 4 or 8, atomically, if they are old. p need not be aligned.
func CompareAndSwap(p unsafe.Pointer, n uint8, old, new uint64) bool {
	switch n {
	case 1:
		return cas8(p, uint8(old), uint8(new))
	case 2:
		return cas16(p, uint16(old), uint16(new))
	case 4:
		return cas32(p, uint32(old), uint32(new))
	}
	return cas64(p, old, new)
}

// CompareAndSwap16 replaces 16 bytes, which are aligned, if they are old. It returns what they were.
func CompareAndSwap16(p unsafe.Pointer, oldLow, oldHigh, newLow, newHigh uint64) (low, high uint64, ok bool) {
	return cas128(p, oldLow, oldHigh, newLow, newHigh)
}
