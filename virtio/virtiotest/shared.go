package virtiotest

import (
	"sync/atomic"
	"unsafe"
)

// Words that device and driver both write; see virtio/shared.go.

//go:noinline
func load16(p unsafe.Pointer) uint16 { return *(*uint16)(p) }

//go:noinline
func store16(p unsafe.Pointer, v uint16) { *(*uint16)(p) = v }

//go:noinline
func load64(p unsafe.Pointer) uint64 { return *(*uint64)(p) }

//go:noinline
func storeDesc(p unsafe.Pointer, addr uint64, length uint32, a, b uint16) {
	*(*uint64)(p) = addr
	*(*uint64)(unsafe.Add(p, 8)) = uint64(length) | uint64(a)<<32 | uint64(b)<<48
}

var fence atomic.Uint32

func barrier() { fence.Add(0) }

// passed tells whether event lies in old to now-1, modulo 2^16 (section 2.7.10.1).
func passed(event, now, old uint16) bool { return now-event-1 < now-old }
