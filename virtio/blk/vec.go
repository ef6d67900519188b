package blk

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// at is byte n of a buffer in guest memory.
func at(v *unix.Iovec, n int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(v.Base), n)) }
