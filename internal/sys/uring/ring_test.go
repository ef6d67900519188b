package uring_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/sys/uring"
)

func open(t testing.TB, entries int, o uring.Options) *uring.Ring {
	r, err := uring.New(entries, o)
	if errors.Is(err, uring.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func file(t testing.TB, size int) *os.File {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i >> 8)
	}
	if _, err := f.Write(p); err != nil {
		t.Fatal(err)
	}
	return f
}

// memory is outside Go's heap, as a guest's is.
func memory(t testing.TB, n int) []byte {
	p, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(p) })
	return p
}

func iov(p []byte) unix.Iovec {
	return unix.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
}

// one submits what is pending and waits for one completion.
func one(t *testing.T, r *uring.Ring) uring.CQE {
	t.Helper()
	if err := r.Submit(1); err != nil {
		t.Fatal(err)
	}
	var c uring.CQE
	if !r.Pop(&c) {
		t.Fatal("no completion")
	}
	return c
}

func TestOperations(t *testing.T) {
	for _, fixed := range []bool{false, true} {
		for _, coop := range []bool{false, true} {
			r := open(t, 8, uring.Options{Cooperative: coop})
			f := file(t, 64<<10)
			fd := int(f.Fd())
			if fixed {
				if err := r.RegisterFiles([]int32{int32(fd)}); err != nil {
					t.Fatal(err)
				}
				fd = 0
			}
			m := memory(t, 64<<10)
			copy(m[32<<10:], bytes.Repeat([]byte("written"), 1000))

			e := r.Next()
			e.Writev(fd, []unix.Iovec{iov(m[32<<10:][:512]), iov(m[33<<10:][:512])}, 1024, 0)
			e.UserData = 77
			if c := one(t, r); c.Res != 1024 || c.UserData != 77 {
				t.Fatalf("writev: %+v", c)
			}
			r.Next().Writev(fd, []unix.Iovec{iov(m[34<<10:][:512])}, 0, unix.RWF_DSYNC)
			if c := one(t, r); c.Res != 512 {
				t.Fatalf("write: %+v", c)
			}
			r.Next().Fdatasync(fd)
			if c := one(t, r); c.Res != 0 {
				t.Fatalf("fdatasync: %+v", c)
			}
			r.Next().Readv(fd, []unix.Iovec{iov(m[:512]), iov(m[4096:][:1024])}, 512, 0)
			if c := one(t, r); c.Res != 1536 {
				t.Fatalf("readv: %+v", c)
			}
			if !bytes.Equal(m[4096:][:512], m[32<<10:][:512]) || !bytes.Equal(m[4608:][:512], m[33<<10:][:512]) {
				t.Error("what was written does not come back")
			}
			r.Next().Readv(fd, []unix.Iovec{iov(m[:8192])}, 60<<10, 0)
			if c := one(t, r); c.Res != 4096 || m[0] != 240 {
				t.Errorf("a read over the end: %+v", c)
			}
			r.Next().Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096)
			if c := one(t, r); c.Res == 0 {
				r.Next().Readv(fd, []unix.Iovec{iov(m[:4096])}, 0, 0)
				if c := one(t, r); c.Res != 4096 || !bytes.Equal(m[:4096], make([]byte, 4096)) {
					t.Errorf("after a hole was punched: %+v", c)
				}
			} else if unix.Errno(-c.Res) != unix.EOPNOTSUPP {
				t.Errorf("fallocate: %+v", c)
			}
			if !fixed {
				r.Next().Readv(1<<20, []unix.Iovec{iov(m[:512])}, 0, 0)
				if c := one(t, r); unix.Errno(-c.Res) != unix.EBADF {
					t.Errorf("a read from nowhere: %+v", c)
				}
			}
			if err := r.RegisterBuffers([]unix.Iovec{iov(m)}); err != nil {
				t.Log("fixed buffers:", err) // RLIMIT_MEMLOCK
				continue
			}
			r.Next().ReadFixed(fd, m[512:][:512], 0, 60<<10)
			if c := one(t, r); c.Res != 512 || m[512] != 240 {
				t.Errorf("a read into a registered buffer: %+v", c)
			}
		}
	}
}

// TestFull: a ring takes what it promises, again and again.
func TestFull(t *testing.T) {
	r := open(t, 4, uring.Options{})
	for round := range 10 {
		for range r.Entries() {
			e := r.Next()
			if e == nil {
				t.Fatal("the ring is full too early")
			}
			e.Nop()
			e.UserData = uint64(round)
		}
		if r.Next() != nil {
			t.Fatal("the ring takes more than it has")
		}
		if err := r.Submit(r.Entries()); err != nil {
			t.Fatal(err)
		}
		var c uring.CQE
		for range r.Entries() {
			if !r.Pop(&c) || c.UserData != uint64(round) {
				t.Fatalf("round %d: %+v", round, c)
			}
		}
		if r.Pop(&c) {
			t.Fatal("a completion too many")
		}
	}
}

func TestAllocations(t *testing.T) {
	r := open(t, 4, uring.Options{})
	fd := int(file(t, 8192).Fd())
	v := []unix.Iovec{iov(memory(t, 4096))}
	var c uring.CQE
	if n := testing.AllocsPerRun(100, func() {
		r.Next().Readv(fd, v, 0, 0)
		r.Submit(1)
		r.Pop(&c)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkRead compares the ways to read 4 KiB of the page cache.
func BenchmarkRead(b *testing.B) {
	f := file(b, 1<<20)
	m := memory(b, 2<<20)
	run := func(depth int, register, fixed bool) func(*testing.B) {
		return func(b *testing.B) {
			r := open(b, 128, uring.Options{})
			fd := int(f.Fd())
			if register {
				if err := r.RegisterFiles([]int32{int32(fd)}); err != nil {
					b.Fatal(err)
				}
				fd = 0
			}
			if fixed {
				if err := r.RegisterBuffers([]unix.Iovec{iov(m)}); err != nil {
					b.Skip(err)
				}
			}
			v := make([]unix.Iovec, depth)
			for i := range v {
				v[i] = iov(m[i<<12:][:4096])
			}
			var c uring.CQE
			for i := 0; i < b.N; i += depth {
				for j := range depth {
					if off := int64(j) << 12; fixed {
						r.Next().ReadFixed(fd, m[j<<12:][:4096], 0, off)
					} else {
						r.Next().Readv(fd, v[j:j+1], off, 0)
					}
				}
				if err := r.Submit(depth); err != nil {
					b.Fatal(err)
				}
				for r.Pop(&c) {
					if c.Res != 4096 {
						b.Fatal(c)
					}
				}
			}
		}
	}
	b.Run("depth1", run(1, false, false))
	b.Run("depth32", run(32, false, false))
	b.Run("depth1/file", run(1, true, false))
	b.Run("depth32/file", run(32, true, false))
	b.Run("depth32/file+buffers", run(32, true, true))
	b.Run("preadv2", func(b *testing.B) {
		v := iov(m[:4096])
		fd, flags := f.Fd(), uintptr(unix.RWF_NOWAIT)
		for i := range b.N {
			n, _, e := unix.RawSyscall6(unix.SYS_PREADV2, fd, uintptr(unsafe.Pointer(&v)), 1, uintptr(i&127)<<12, 0, flags)
			if e == unix.EOPNOTSUPP && flags != 0 { // tmpfs
				flags = 0
				continue
			}
			if n != 4096 {
				b.Fatal(n, e)
			}
		}
	})
}

// TestCancelAll: a read that would wait for ever comes back.
func TestCancelAll(t *testing.T) {
	r, err := uring.New(4, uring.Options{Cooperative: true})
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	read := r.Next()
	read.Readv(pipe[0], []unix.Iovec{iov(memory(t, 4096))}, -1, 0)
	read.UserData = 1
	if err := r.Submit(0); err != nil {
		t.Fatal(err)
	}
	all := r.Next()
	all.CancelAll()
	all.UserData = 2
	for n := 0; n < 2; {
		c := one(t, r)
		if n++; c.UserData == 1 && c.Res != -int32(unix.ECANCELED) && c.Res != -int32(unix.EINTR) {
			t.Errorf("the read: %d", c.Res)
		}
		if c.UserData == 2 && c.Res == -int32(unix.EINVAL) {
			unix.Write(pipe[1], []byte{1})
			t.Skip("this kernel cancels requests only one by one")
		}
	}
}
