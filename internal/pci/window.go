package pci

import (
	"fmt"
	"slices"

	"github.com/mayfly-vm/mayfly/memory"
)

// allocator assigns a window's space, lowest addresses first.
type allocator struct {
	memory.Range
	used []memory.Range // sorted
}

// take finds size bytes at a multiple of size, a power of two.
func (a *allocator) take(size uint64) (uint64, error) {
	at := (uint64(a.Addr) + size - 1) &^ (size - 1)
	i := 0
	for ; i < len(a.used); i++ {
		u := a.used[i]
		if at+size <= uint64(u.Addr) {
			break
		}
		at = (uint64(u.Addr) + u.Size + size - 1) &^ (size - 1)
	}
	if at < uint64(a.Addr) || !a.Contains(memory.Addr(at), size) { // the sums above may have wrapped around
		return 0, fmt.Errorf("pci: no room for a base address of %#x bytes in the window at %#x with %#x", size, uint64(a.Addr), a.Size)
	}
	a.used = slices.Insert(a.used, i, memory.Range{Addr: memory.Addr(at), Size: size})
	return at, nil
}

func (a *allocator) give(at uint64) {
	a.used = slices.DeleteFunc(a.used, func(u memory.Range) bool { return uint64(u.Addr) == at })
}
