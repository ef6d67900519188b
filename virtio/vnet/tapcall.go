package vnet

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A tap's descriptor doesn't block: its calls are too short to tell the scheduler
// of them.

func readTap(fd int, v []unix.Iovec) (int, syscall.Errno) {
	return call(unix.SYS_READV, fd, unsafe.Pointer(unsafe.SliceData(v)), len(v))
}

func writeTap(fd int, v []unix.Iovec) syscall.Errno {
	_, e := call(unix.SYS_WRITEV, fd, unsafe.Pointer(unsafe.SliceData(v)), len(v))
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
