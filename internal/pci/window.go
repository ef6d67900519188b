package pci

import (
	"fmt"
	"slices"
)

// Window is a piece of guest-physical space for base addresses.
type Window struct{ Base, Size uint64 }

func (w Window) holds(addr, size uint64) bool {
	return addr >= w.Base && size <= w.Size && addr-w.Base <= w.Size-size
}

// allocator gives a window's space out, lowest first.
type allocator struct {
	Window
	used []Window // sorted
}

// take finds size bytes at a multiple of size, a power of two.
func (a *allocator) take(size uint64) (uint64, error) {
	at := (a.Base + size - 1) &^ (size - 1)
	i := 0
	for ; i < len(a.used); i++ {
		u := a.used[i]
		if at+size <= u.Base {
			break
		}
		at = (u.Base + u.Size + size - 1) &^ (size - 1)
	}
	if at < a.Base || !a.holds(at, size) { // the sums above may have wrapped around
		return 0, fmt.Errorf("pci: no room for a base address of %#x bytes in the window at %#x with %#x", size, a.Base, a.Size)
	}
	a.used = slices.Insert(a.used, i, Window{at, size})
	return at, nil
}

func (a *allocator) give(at uint64) {
	a.used = slices.DeleteFunc(a.used, func(u Window) bool { return u.Base == at })
}
