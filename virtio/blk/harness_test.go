package blk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/internal/sys/uring"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// Types of requests and their answers.
const (
	in, out, flush, getID, discard, writeZeroes = 0, 1, 4, 8, 11, 13
	ok, ioErr, unsupported                      = 0, 1, 2
)

const imageSize = 4 << 20

// pattern is byte i of a fresh image.
func pattern(off, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte((off+i)>>9 ^ (off+i)>>17 ^ (off + i))
	}
	return p
}

func image(t testing.TB, size int) string {
	path := filepath.Join(t.TempDir(), "root.img")
	if err := os.WriteFile(path, pattern(0, size), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, c blk.Config) *blk.Device {
	t.Helper()
	if c.Path == "" && c.Image == nil && c.File == nil {
		c.Path = image(t, imageSize)
	}
	d, err := blk.New(c)
	if errors.Is(err, uring.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func header(kind uint32, sector uint64) []byte {
	h := make([]byte, 16)
	binary.LittleEndian.PutUint32(h, kind)
	binary.LittleEndian.PutUint64(h[8:], sector)
	return h
}

// ranges are those of discard and write-zeroes: sector, count, flags.
func ranges(r ...[3]uint64) []byte {
	var b []byte
	for _, x := range r {
		b = binary.LittleEndian.AppendUint64(b, x[0])
		b = binary.LittleEndian.AppendUint32(b, uint32(x[1]))
		b = binary.LittleEndian.AppendUint32(b, uint32(x[2]))
	}
	return b
}

func status(r *virtiotest.Request) byte {
	b := r.In()
	return b[len(b)-1]
}

func read(q *virtiotest.Queue, off, n int) ([]byte, byte) {
	r := q.Do([][]byte{header(in, uint64(off/512))}, []int{n, 1})
	return r.In()[:n], status(r)
}

func write(q *virtiotest.Queue, off int, p []byte) byte {
	return status(q.Do([][]byte{header(out, uint64(off/512)), p}, []int{1}))
}

func wantBytes(t *testing.T, q *virtiotest.Queue, off int, want []byte) {
	t.Helper()
	got, s := read(q, off, len(want))
	if s != ok || !bytes.Equal(got, want) {
		t.Fatalf("read of %d bytes at %d: status %d, right contents %v", len(want), off, s, bytes.Equal(got, want))
	}
}

// each runs a test with each engine, kind of ring and cache policy of the host.
func each(t *testing.T, do func(t *testing.T, c blk.Config, o virtiotest.Options)) {
	for _, e := range blk.Engines {
		for _, packed := range []bool{false, true} {
			for _, direct := range []bool{false, true} {
				t.Run(fmt.Sprintf("engine=%s,packed=%v,direct=%v", e, packed, direct), func(t *testing.T) {
					c := blk.Config{Engine: e, Direct: direct, Path: image(t, imageSize)}
					if direct {
						fd, err := unix.Open(c.Path, unix.O_DIRECT, 0)
						if err != nil {
							t.Skip("no O_DIRECT here")
						}
						unix.Close(fd)
					}
					do(t, c, virtiotest.Options{Packed: packed, NoIndirect: packed && direct})
				})
			}
		}
	}
}

// fake is an image with faults.
type fake struct {
	mu     sync.Mutex
	data   []byte
	fail   error
	most   int           // bytes that one call transfers; 0: all
	gate   chan struct{} // not nil: each call takes one
	calls  int
	synced int
}

func (f *fake) enter() (int, error) {
	if f.gate != nil {
		<-f.gate
	}
	f.mu.Lock()
	f.calls++
	return f.most, f.fail
}

// set makes calls fail or transfer little. The ring, which orders this for the
// device, is nothing that a race detector sees.
func (f *fake) set(fail error, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.most = fail, most
}

// count is how many calls and flushes there were.
func (f *fake) count() (calls, synced int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls, f.synced
}

func (f *fake) Size() int64    { return int64(len(f.data)) }
func (f *fake) Refresh() error { return nil }
func (f *fake) Blocks() disk.Blocks {
	return disk.Blocks{Logical: 512, Physical: 4096, Minimum: 4096, Optimal: 1 << 20}
}
func (f *fake) ReadOnly() bool   { return false }
func (f *fake) Warning() string  { return "" }
func (f *fake) File() *disk.File { return nil }
func (f *fake) Close() error     { return nil }

func (f *fake) transfer(v []unix.Iovec, off int64, write bool) (n int, err error) {
	most, err := f.enter()
	defer f.mu.Unlock()
	if err != nil {
		return 0, err
	}
	for _, x := range v {
		p := unsafe.Slice(x.Base, x.Len)
		if most > 0 && n+len(p) > most {
			p = p[:most-n]
		}
		if write {
			n += copy(f.data[off+int64(n):], p)
		} else {
			n += copy(p, f.data[off+int64(n):])
		}
	}
	return n, nil
}

func (f *fake) Readv(v []unix.Iovec, off int64) (int, error) { return f.transfer(v, off, false) }
func (f *fake) Writev(v []unix.Iovec, off int64, _ bool) (int, error) {
	return f.transfer(v, off, true)
}

func (f *fake) Flush() error {
	_, err := f.enter()
	defer f.mu.Unlock()
	f.synced++
	return err
}

func (f *fake) Discard(off, n int64) error { return f.Zero(off, n, true) }

func (f *fake) Zero(off, n int64, _ bool) error {
	_, err := f.enter()
	defer f.mu.Unlock()
	if err == nil {
		clear(f.data[off : off+n])
	}
	return err
}
