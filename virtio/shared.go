package virtio

import (
	"sync/atomic"
	"unsafe"
)

// Words that device and driver both write. On x86 an aligned load or store of 16
// bits is atomic, loads stay in their order and so do stores; only a load behind
// a store wants a fence. Rings are aligned, or refused (area in queue.go); an
// indirect table need not be, and what is torn there is checked as anything else.
// The functions are not inlined, so that the compiler neither repeats nor moves
// an access.

//go:noinline
func load16(p unsafe.Pointer) uint16 { return *(*uint16)(p) }

//go:noinline
func store16(p unsafe.Pointer, v uint16) { *(*uint16)(p) = v }

// loadDescriptor copies a descriptor once; what is checked is the copy.
//
//go:noinline
func loadDescriptor(p unsafe.Pointer) (d descriptor) {
	d.addr = *(*uint64)(p)
	w := *(*uint64)(unsafe.Add(p, 8))
	d.len, d.flags, d.next = uint32(w), uint16(w>>32), uint16(w>>48)
	return d
}

var fence atomic.Uint32

// barrier keeps loads behind it from overtaking stores before it.
func barrier() { fence.Add(0) }
