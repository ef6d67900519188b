package disk

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func deviceSize(fd int) (int64, error) {
	var n uint64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return 0, errno
	}
	return int64(min(n, 1<<62)), nil
}

// askDevice fills in the block sizes of a block device.
func (f *File) askDevice() {
	ask := func(req uint) uint32 {
		n, err := unix.IoctlGetUint32(f.plain, req)
		if err != nil || n&(n-1) != 0 || n > 1<<30 {
			return 0
		}
		return n
	}
	if n := ask(unix.BLKSSZGET); n >= SectorSize && n <= 64<<10 {
		f.blocks.Logical = n
	}
	f.blocks.Physical, f.blocks.Minimum, f.blocks.Optimal = ask(unix.BLKPBSZGET), ask(unix.BLKIOMIN), ask(unix.BLKIOOPT)
}

// askAlignment makes the unit that O_DIRECT wants on this file the guest's block.
// Kernels before 6.1 don't report it; what they refuse then goes through the page
// cache.
func (f *File) askAlignment() {
	var st unix.Statx_t
	if unix.Statx(f.fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st) != nil || st.Mask&unix.STATX_DIOALIGN == 0 {
		return
	}
	if n := st.Dio_offset_align; n > SectorSize && n <= 64<<10 && n&(n-1) == 0 {
		f.blocks.Logical = n
	}
}
