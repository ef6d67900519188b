package disk

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Discard punches a hole, or discards on a block device.
func (f *File) Discard(off, n int64) error {
	var err error
	if f.device {
		arg := [2]uint64{uint64(off), uint64(n)}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(f.plain), unix.BLKDISCARD, uintptr(unsafe.Pointer(&arg)))
		if errno != 0 {
			err = errno
		}
	} else {
		err = f.fallocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	}
	if unsupported(err) {
		return nil
	}
	return err
}

// Zero lets the file system or the device do it, and writes zeroes where they
// can't.
func (f *File) Zero(off, n int64, unmap bool) error {
	if unmap {
		if err := f.fallocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n); !unsupported(err) {
			return err
		}
	}
	if err := f.fallocate(unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, off, n); !unsupported(err) {
		return err
	}
	// One call writes no more than this, so that none takes long.
	const zeroCall = 1 << 20
	page := zeroes()
	v := make([]unix.Iovec, zeroCall/len(page))
	for n > 0 {
		k := 0
		for left := n; left > 0 && k < len(v); k++ {
			v[k] = unix.Iovec{Base: unsafe.SliceData(page), Len: uint64(min(left, int64(len(page))))}
			left -= int64(v[k].Len)
		}
		m, err := f.Writev(v[:k], off, false)
		if err != nil {
			return err
		}
		if m == 0 {
			return unix.EIO
		}
		off, n = off+int64(m), n-int64(m)
	}
	return nil
}

func (f *File) fallocate(mode uint32, off, n int64) error {
	for {
		if err := unix.Fallocate(f.plain, mode, off, n); err != unix.EINTR {
			return err
		}
	}
}

func unsupported(err error) bool {
	return err == unix.EOPNOTSUPP || err == unix.ENOSYS || err == unix.ENODEV
}

// zeroes is memory that nobody writes, so that the kernel's one page of zeroes is
// after all of it.
var zeroes = sync.OnceValue(func() []byte {
	const size = 256 << 10
	p, err := unix.Mmap(-1, 0, size, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]byte, 4096)
	}
	return p
})
