package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's asynchronous I/O, linux/aio_abi.h: it takes less of a processor
// than a thread a request, and processors are what the guest has least of.
type iocb struct {
	data   uint64
	_      uint32
	_      int32
	op     uint16
	_      int16
	fd     uint32
	buf    uint64
	nbytes uint64
	offset int64
	_      uint64
	_      uint32
	_      uint32
}

type ioEvent struct {
	data, obj uint64
	res, res2 int64
}

const (
	ioPread  = 0
	ioPwrite = 1
)

func disk(words []string) (t tally, err error) {
	n, err := numbers(words, 3)
	if err != nil || len(words) != 5 {
		return t, fmt.Errorf("blk: %q: %w", words, err)
	}
	size, depth, limit := n[0], n[1], time.Duration(n[2])*time.Millisecond
	f, err := os.OpenFile("/dev/vda", os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return t, err
	}
	defer f.Close()
	whole, err := f.Seek(0, 2)
	if err != nil {
		return t, err
	}
	places := whole / int64(size)
	memory, err := unix.Mmap(-1, 0, size*depth, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return t, err
	}
	defer unix.Munmap(memory)
	var ctx uint64
	if _, _, e := unix.Syscall(unix.SYS_IO_SETUP, uintptr(depth), uintptr(unsafe.Pointer(&ctx)), 0); e != 0 {
		return t, fmt.Errorf("io_setup: %w", e)
	}
	defer unix.Syscall(unix.SYS_IO_DESTROY, uintptr(ctx), 0, 0)
	requests, list := make([]iocb, depth), make([]*iocb, 0, depth)
	for i := range requests {
		r := &requests[i]
		*r = iocb{data: uint64(i), fd: uint32(f.Fd()), buf: uint64(uintptr(unsafe.Pointer(&memory[i*size]))), nbytes: uint64(size)}
		if words[0] == "write" {
			r.op = ioPwrite
		}
		list = append(list, r)
	}
	// RawSyscall: see raw.
	next := int64(0)
	events := make([]ioEvent, depth)
	begin := time.Now()
	for flying := depth; flying > 0; {
		for _, r := range list {
			if words[1] == "rand" {
				next = rand.Int64N(places)
			}
			r.offset = next % places * int64(size)
			next++
		}
		if err := submit(ctx, list); err != nil {
			return t, err
		}
		list = list[:0]
		m, _, e := unix.RawSyscall6(unix.SYS_IO_GETEVENTS, uintptr(ctx), 1, uintptr(depth), uintptr(unsafe.Pointer(&events[0])), 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return t, fmt.Errorf("io_getevents: %w", e)
		}
		more := time.Since(begin) < limit
		for _, ev := range events[:m] {
			if ev.res != int64(size) {
				return t, fmt.Errorf("the result of a request is %d", ev.res)
			}
			t.ops++
			t.bytes += ev.res
			if more {
				list = append(list, &requests[ev.data])
			} else {
				flying--
			}
		}
	}
	t.took = time.Since(begin)
	return t, nil
}

// submit hands requests to the kernel (io_submit).
func submit(ctx uint64, list []*iocb) error {
	for len(list) > 0 {
		m, _, e := unix.RawSyscall(unix.SYS_IO_SUBMIT, uintptr(ctx), uintptr(len(list)), uintptr(unsafe.Pointer(&list[0])))
		if e != 0 && e != unix.EINTR && e != unix.EAGAIN {
			return fmt.Errorf("io_submit: %w", e)
		}
		if e == 0 {
			list = list[m:]
		}
	}
	return nil
}
