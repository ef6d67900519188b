package uring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Nop does nothing.
func (e *SQE) Nop() { e.opcode = opNop }

// Readv reads into v from offset off of fd. flags are those of preadv2(2).
func (e *SQE) Readv(fd int, v []unix.Iovec, off int64, flags int) {
	e.vector(opRead, opReadv, fd, v, off, flags)
}

// Writev writes v to offset off of fd. flags are those of pwritev2(2).
func (e *SQE) Writev(fd int, v []unix.Iovec, off int64, flags int) {
	e.vector(opWrite, opWritev, fd, v, off, flags)
}

// vector uses the operation for one buffer where there is only one: the kernel
// then has no list to fetch.
func (e *SQE) vector(one, many uint8, fd int, v []unix.Iovec, off int64, flags int) {
	e.fd, e.off, e.opFlags = int32(fd), uint64(off), uint32(flags)
	if len(v) == 1 && v[0].Len <= 1<<30 {
		e.opcode, e.addr, e.len = one, uint64(uintptr(unsafe.Pointer(v[0].Base))), uint32(v[0].Len)
		return
	}
	e.opcode, e.addr, e.len = many, uint64(uintptr(unsafe.Pointer(unsafe.SliceData(v)))), uint32(len(v))
}

// ReadFixed reads into memory of registered buffer i.
func (e *SQE) ReadFixed(fd int, p []byte, i int, off int64) {
	e.opcode, e.fd, e.off, e.bufIndex = opReadFixed, int32(fd), uint64(off), uint16(i)
	e.addr, e.len = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))), uint32(len(p))
}

// Fdatasync makes the data of fd durable.
func (e *SQE) Fdatasync(fd int) { e.opcode, e.fd, e.opFlags = opFsync, int32(fd), fsyncDatasync }

// CancelAll asks the kernel to cancel everything that is under way in the ring. What
// it can still cancel completes with ECANCELED or EINTR; the rest goes on. Kernels
// before 5.19 answer EINVAL.
func (e *SQE) CancelAll() { e.opcode, e.fd, e.opFlags = opCancel, -1, cancelAll|cancelAny }

// Fallocate is fallocate(2).
func (e *SQE) Fallocate(fd, mode int, off, n int64) {
	e.opcode, e.fd, e.off, e.len, e.addr = opFallocate, int32(fd), uint64(off), uint32(mode), uint64(n)
}
