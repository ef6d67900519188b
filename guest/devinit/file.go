package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
)

// fill writes the pattern to a file or a disk and, unless "nosync" is given,
// waits until it is durable.
func fill(_ context.Context, a args) (values, error) {
	s, err := a.span()
	if err != nil {
		return nil, err
	}
	f, err := s.open(os.O_WRONLY | os.O_CREATE)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = s.each(func(off uint64, p []byte) error {
		ask.Fill(p, s.seed, off)
		n, err := f.WriteAt(p, int64(off))
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, no := a["nosync"]; !no {
		return nil, f.Sync()
	}
	return nil, nil
}

// check reads and compares with the pattern, or with zeroes if "zeroes" is given;
// it returns the SHA-256 of what it read if there is one job.
func check(_ context.Context, a args) (values, error) {
	s, err := a.span()
	if err != nil {
		return nil, err
	}
	f, err := s.open(os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !s.direct { // what is cached says nothing of the disk
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return nil, err
		}
		unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0) // of a disk
	}
	_, zeroes := a["zeroes"]
	sum := sha256.New()
	err = s.each(func(off uint64, p []byte) error {
		if _, err := f.ReadAt(p, int64(off)); err != nil {
			return err
		}
		if s.jobs == 1 {
			sum.Write(p)
		}
		if zeroes {
			for i, c := range p {
				if c != 0 {
					return fmt.Errorf("byte %d is not zero", off+uint64(i))
				}
			}
			return nil
		}
		if at := ask.Mismatch(p, s.seed, off); at >= 0 {
			return fmt.Errorf("byte %d is not what was written", at)
		}
		return nil
	})
	if err != nil || s.jobs > 1 {
		return nil, err
	}
	return values{"sha256": hex.EncodeToString(sum.Sum(nil))}, nil
}

func (s *span) open(flags int) (*os.File, error) {
	if s.direct {
		flags |= unix.O_DIRECT
	}
	return os.OpenFile(s.path, flags, 0o600)
}

// each calls do for each block, from as many goroutines as there are jobs, with a
// buffer that suits O_DIRECT. The first error ends it.
func (s *span) each(do func(off uint64, p []byte) error) error {
	var next atomic.Uint64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range s.jobs {
		all.Go(func() {
			buf := aligned(int(s.block))
			for failed.Load() == nil {
				at := next.Add(s.block) - s.block
				if at >= s.len {
					return
				}
				if err := do(s.off+at, buf[:min(s.block, s.len-at)]); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	all.Wait()
	if e := failed.Load(); e != nil {
		return *e
	}
	return nil
}

// aligned is a buffer that starts at a page.
func aligned(n int) []byte {
	const page = 4096
	b := make([]byte, n+page)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (page - 1)
	return b[skip:][:n:n]
}

func mount(_ context.Context, a args) (values, error) {
	if err := os.MkdirAll(a["on"], 0o755); err != nil {
		return nil, err
	}
	flags := uintptr(0)
	if _, ro := a["ro"]; ro {
		flags = unix.MS_RDONLY
	}
	return nil, unix.Mount(a["path"], a["on"], a["type"], flags, a["data"])
}

func unmount(_ context.Context, a args) (values, error) {
	if _, ro := a["ro"]; ro { // the root can only be made read-only
		return nil, unix.Mount("", a["on"], "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return nil, unix.Unmount(a["on"], 0)
}

func syncAll(context.Context, args) (values, error) {
	unix.Sync()
	return nil, nil
}
