// Package bus routes accesses to devices: a Bus maps port numbers or guest-physical
// addresses to the Handlers of their registers. It also defines what a device is
// given to reach the processors: an interrupt Line, an MSISink and a Fabric.
package bus

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// MaxAccess is the widest access in bytes that a Bus passes on. KVM reports an
// access as at most eight bytes; one that crosses a page may come as any
// length from one to eight.
const MaxAccess = 8

// Handler is a device's block of registers. off counts from the block's first
// address, and off+len(p) never exceeds the block's size; len(p) is 1 to
// MaxAccess. p is little-endian and must not be kept after the call.
//
// Several vCPUs call at the same time. The guest chooses offset and width: a
// Handler defines a result for each.
type Handler interface {
	Read(off uint64, p []byte)
	Write(off uint64, p []byte)
}

// region is one device's addresses, base to last inclusive, so that a region
// that ends with the address space needs no special case.
type region struct {
	base, last uint64
	handler    Handler
	name       string
}

// Bus is a table of Handlers by address, one for ports and one for memory-mapped
// registers. The zero value is an empty bus. Reads and writes take no lock and
// allocate nothing; Add and Remove may be called while they run.
type Bus struct {
	mu      sync.Mutex // serialises Add and Remove
	regions atomic.Pointer[[]region]
}

// Add lets h answer the size addresses from base on. The name is for errors.
// It fails when the block is empty, leaves the address space or overlaps
// another one.
func (b *Bus) Add(name string, base, size uint64, h Handler) error {
	switch {
	case h == nil:
		return fmt.Errorf("bus: %s at %#x has no handler", name, base)
	case size == 0:
		return fmt.Errorf("bus: %s at %#x is empty; its size must be at least 1", name, base)
	case base+(size-1) < base:
		return fmt.Errorf("bus: %s at %#x with size %#x reaches beyond the address space", name, base, size)
	}
	add := region{base: base, last: base + (size - 1), handler: h, name: name}

	b.mu.Lock()
	defer b.mu.Unlock()
	var old []region
	if p := b.regions.Load(); p != nil {
		old = *p
	}
	at := 0
	for i, r := range old {
		if r.base <= add.last && add.base <= r.last {
			return fmt.Errorf("bus: %s (%#x-%#x) overlaps %s (%#x-%#x)", name, add.base, add.last, r.name, r.base, r.last)
		}
		if r.base < add.base {
			at = i + 1
		}
	}
	// A new slice, never the old one's storage: readers may hold that.
	table := slices.Insert(slices.Clip(slices.Clone(old)), at, add)
	b.regions.Store(&table)
	return nil
}

// Remove removes the block that begins at base, and reports whether there was one.
// An access that has found its Handler before may still be under way in it.
func (b *Bus) Remove(base uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.regions.Load()
	if p == nil {
		return false
	}
	for i, r := range *p {
		if r.base == base {
			table := slices.Delete(slices.Clone(*p), i, i+1)
			b.regions.Store(&table)
			return true
		}
	}
	return false
}

// Read lets the device at addr fill p. It returns false when no block contains all
// of addr to addr+len(p)-1; p is then all ones, as on an idle bus.
func (b *Bus) Read(addr uint64, p []byte) bool {
	r := b.find(addr, len(p))
	if r == nil {
		for i := range p {
			p[i] = 0xFF
		}
		return false
	}
	r.handler.Read(addr-r.base, p)
	return true
}

// Write passes p to the device at addr. It returns false when no block contains all
// of addr to addr+len(p)-1; the write is then lost, as on an idle bus.
func (b *Bus) Write(addr uint64, p []byte) bool {
	r := b.find(addr, len(p))
	if r == nil {
		return false
	}
	r.handler.Write(addr-r.base, p)
	return true
}

// find returns the region that contains the n bytes at addr, or nil.
func (b *Bus) find(addr uint64, n int) *region {
	p := b.regions.Load()
	if p == nil || n < 1 || n > MaxAccess {
		return nil
	}
	table := *p
	lo, hi := 0, len(table) // table[lo:hi] may hold addr
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		switch r := &table[mid]; {
		case addr < r.base:
			hi = mid
		case addr > r.last:
			lo = mid + 1
		case uint64(n-1) > r.last-addr:
			return nil
		default:
			return r
		}
	}
	return nil
}
