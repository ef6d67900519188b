package disk

import (
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawLimit is the size in bytes up to which a copy out of the page cache takes so
// little time that Go's scheduler need not know.
const rawLimit = 64 << 10

// TryRead reads into v what the page cache has, without waiting for a device, and
// returns how much that was: less than asked for, or 0, when the rest must be
// waited for. It is the fastest way to the page cache: no other thread or queue
// takes part.
func (f *File) TryRead(v []unix.Iovec, n int, off int64) int {
	flags := uintptr(unix.RWF_NOWAIT)
	if !f.nowait.Load() {
		if !f.memory {
			return 0
		}
		flags = 0
	}
	var got uintptr
	var errno unix.Errno
	if n <= rawLimit {
		got, _, errno = unix.RawSyscall6(unix.SYS_PREADV2, uintptr(f.fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)), uintptr(off), 0, flags)
	} else {
		got, _, errno = unix.Syscall6(unix.SYS_PREADV2, uintptr(f.fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)), uintptr(off), 0, flags)
	}
	switch errno {
	case 0:
		return int(got)
	case unix.EOPNOTSUPP, unix.ENOSYS:
		f.nowait.Store(false)
	}
	return 0
}

// Buffered reports whether a write ends in the page cache, so that it seldom waits
// for a device.
func (f *File) Buffered() bool { return !f.direct }

// Pwritev is one pwritev2(2). It may wait.
func (f *File) Pwritev(v []unix.Iovec, off int64, flags int) (int, error) {
	return transfer(unix.SYS_PWRITEV2, f.fd, v, off, flags)
}

// Readv reads; what O_DIRECT refuses goes through the page cache.
func (f *File) Readv(v []unix.Iovec, off int64) (int, error) {
	n, err := transfer(unix.SYS_PREADV2, f.fd, v, off, 0)
	if err == unix.EINVAL && f.direct {
		n, err = transfer(unix.SYS_PREADV2, f.plain, v, off, 0)
	}
	return n, err
}

// Writev writes likewise. What went through the page cache for O_DIRECT's sake
// goes on to the device at once.
func (f *File) Writev(v []unix.Iovec, off int64, durable bool) (int, error) {
	flags := 0
	if durable {
		flags = unix.RWF_DSYNC
	}
	n, err := transfer(unix.SYS_PWRITEV2, f.fd, v, off, flags)
	if err == unix.EINVAL && f.direct {
		n, err = transfer(unix.SYS_PWRITEV2, f.plain, v, off, unix.RWF_DSYNC)
	}
	return n, err
}

func transfer(call uintptr, fd int, v []unix.Iovec, off int64, flags int) (int, error) {
	for {
		n, _, errno := unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)), uintptr(off), 0, uintptr(flags))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// ReadAt is io.ReaderAt over the page cache, for formats.
func (f *File) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pread(f.plain, p[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case m == 0:
			return n, io.EOF
		default:
			n += m
		}
	}
	return n, nil
}

// Flush is fdatasync(2): a file's new length counts as data.
func (f *File) Flush() error {
	for {
		if err := unix.Fdatasync(f.plain); err != unix.EINTR {
			return err
		}
	}
}
