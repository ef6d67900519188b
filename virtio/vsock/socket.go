package vsock

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

// The calls on the way of the data. None of them waits, but for a page of the guest
// that the host has to fetch, so Go need not be told of them: its watchman would take
// the P of one that copies 256 KiB away, and wake a thread to look what else there is
// for it to run.

// readv fills v from a socket that doesn't block.
func readv(fd int, v virtio.Vec) (int, error) {
	n, _, e := unix.RawSyscall(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)))
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// sendv writes v to a socket that doesn't block. m is room for the call's header,
// which would escape from a stack. A peer that is gone is EPIPE, and no signal.
func sendv(fd int, m *unix.Msghdr, v virtio.Vec) (int, error) {
	*m = unix.Msghdr{Iov: unsafe.SliceData(v)}
	m.SetIovlen(len(v))
	n, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(m)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// epollWait asks for events that are there.
func epollWait(fd int, events []unix.EpollEvent) int {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_WAIT, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

func closeFD(fd *int) {
	if *fd >= 0 {
		_ = unix.Close(*fd)
		*fd = -1
	}
}
