package main

import (
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raw reads and writes a blocking descriptor without Go's scheduler. A
// call that it knows of wakes its sysmon, whose sleeps of 20 us are timers, and
// each of these some exits: four fifths of all that were counted.
type raw int

func (fd raw) Read(p []byte) (int, error) {
	n, err := fd.call(unix.SYS_READ, p)
	if n == 0 && err == nil && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

func (fd raw) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = fd.call(unix.SYS_WRITE, p[n:])
		n += m
	}
	return n, err
}

func (fd raw) call(trap uintptr, p []byte) (int, error) {
	for {
		n, _, e := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, e
		}
	}
}
