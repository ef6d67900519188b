package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
)

// disk reports what the kernel knows of a disk.
func disk(_ context.Context, a args) (values, error) {
	dir := "/sys/block/" + a["dev"]
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	v := values{}
	for name, file := range map[string]string{
		"ro": "ro", "serial": "serial", "logical": "queue/logical_block_size", "physical": "queue/physical_block_size",
		"cache": "queue/write_cache", "discard": "queue/discard_max_bytes", "zeroes": "queue/write_zeroes_max_bytes",
		"segments": "queue/max_segments", "nr_requests": "queue/nr_requests",
	} {
		if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
			v[name] = trim(b)
		}
	}
	sectors, err := sectors(a["dev"])
	if err != nil {
		return nil, err
	}
	v["size"] = strconv.FormatUint(sectors*512, 10)
	queues, _ := filepath.Glob(dir + "/mq/*")
	v["queues"] = strconv.Itoa(len(queues))
	return v, nil
}

func sectors(dev string) (uint64, error) {
	b, err := os.ReadFile("/sys/block/" + dev + "/size")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(trim(b), 10, 64)
}

// resized waits until the kernel has noticed the disk's new size.
func resized(ctx context.Context, a args) (values, error) {
	want, err := a.number("size", 0)
	if err != nil {
		return nil, err
	}
	return nil, eventually(ctx, func() error {
		n, err := sectors(a["dev"])
		if err == nil && n*512 != want {
			err = fmt.Errorf("%s has %d bytes, want %d", a["dev"], n*512, want)
		}
		return err
	})
}

// eventually asks again and again for what the kernel does on its own: nothing
// shows a change in sysfs.
func eventually(ctx context.Context, what func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := what()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func discard(_ context.Context, a args) (values, error) { return nil, blockRange(a, unix.BLKDISCARD) }

func zero(_ context.Context, a args) (values, error) { return nil, blockRange(a, unix.BLKZEROOUT) }

// blockRange is BLKDISCARD or BLKZEROOUT, which take two u64: start and length in
// bytes (linux/fs.h).
func blockRange(a args, request uintptr) error {
	s, err := a.span()
	if err != nil {
		return err
	}
	f, err := s.open(os.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	r := [2]uint64{s.off, s.len}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return errno
	}
	return nil
}

// RecordSize is the size of what records writes.
const recordSize = 4096

// records writes one record after the other, each with its own pattern, and says
// after each few of them how many are durable: "acked N". It ends with the machine,
// or at the end of the range.
func records(_ context.Context, a args) (values, error) {
	s, err := a.span()
	if err != nil {
		return nil, err
	}
	f, err := s.open(os.O_WRONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := aligned(recordSize)
	const each = 4
	for n := uint64(0); (n+1)*recordSize <= s.len; n++ {
		ask.Fill(buf, s.seed+n, 0)
		if _, err := f.WriteAt(buf, int64(s.off+n*recordSize)); err != nil {
			return nil, err
		}
		if n%each == each-1 {
			if err := f.Sync(); err != nil {
				return nil, err
			}
			say(fmt.Sprintf("acked %d\n", n+1))
		}
	}
	return nil, nil
}
