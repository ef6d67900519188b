package vnet

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A tap's descriptor doesn't block: its calls are too short to tell the scheduler
// of them, but for pages of guest memory that the host has to fetch first.

func readTap(fd int, v []unix.Iovec) (int, syscall.Errno) {
	return call(unix.SYS_READV, fd, unsafe.Pointer(unsafe.SliceData(v)), len(v))
}

// writeTap writes a frame. Of one piece, the kernel need not fetch a list: 4 % of a
// short frame's time.
func writeTap(fd int, v []unix.Iovec) (e syscall.Errno) {
	if len(v) == 1 {
		_, e = call(unix.SYS_WRITE, fd, unsafe.Pointer(v[0].Base), int(v[0].Len))
	} else {
		_, e = call(unix.SYS_WRITEV, fd, unsafe.Pointer(unsafe.SliceData(v)), len(v))
	}
	return e
}

func call(nr uintptr, fd int, p unsafe.Pointer, n int) (int, syscall.Errno) {
	for {
		r, _, e := unix.RawSyscall(nr, uintptr(fd), uintptr(p), uintptr(n))
		if e != unix.EINTR {
			return int(r), e
		}
	}
}
