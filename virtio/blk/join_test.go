package blk_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// together has requests found by the device in one batch.
func together(d *virtiotest.Driver, reqs ...*virtiotest.Request) map[*virtiotest.Request]byte {
	q := d.Queue(0)
	d.Pause()
	for _, r := range reqs {
		q.Submit(r)
	}
	d.Resume()
	q.Kick()
	answers := map[*virtiotest.Request]byte{}
	for range reqs {
		r := q.Wait()
		answers[r] = status(r)
	}
	d.Pause() // the worker has told all that it counted
	d.Resume()
	return answers
}

// joining is a disk whose requests go to its ring.
func joining(t *testing.T) (*blk.Device, *virtiotest.Driver, string, *reports) {
	told := new(reports)
	c := blk.Config{Engine: blk.IOUring, Direct: true, Path: image(t, imageSize), Report: told.add}
	dev := open(t, c)
	return dev, virtiotest.New(t, dev, virtiotest.Options{}), c.Path, told
}

// TestJoined: neighbours that come together go to the disk together, writes not
// with reads, and all of them are done.
func TestJoined(t *testing.T) {
	dev, d, path, _ := joining(t)
	q := d.Queue(0)
	want := pattern(0, imageSize)
	var writes, reads []*virtiotest.Request
	for i := range 24 {
		p := pattern(i*100+7, 8192)
		if i%8 == 7 {
			// A place of its own: nobody's neighbour.
			off := 3<<20 + i<<14
			copy(want[off:], p)
			writes = append(writes, q.Prepare([][]byte{header(out, uint64(off/512)), p}, []int{1}))
			continue
		}
		copy(want[i*8192:], p)
		writes = append(writes, q.Prepare([][]byte{header(out, uint64(i)*16), p[:4096], p[4096:]}, []int{1}))
		reads = append(reads, q.Prepare([][]byte{header(in, uint64(i)*16)}, []int{4096, 4096, 1}))
	}
	for r, s := range together(d, writes...) {
		if s != ok || r.Written() != 1 {
			t.Errorf("a write: status %d, %d bytes", s, r.Written())
		}
	}
	if n := dev.Stats().Joined; n != 18 {
		t.Errorf("%d of 24 writes were joined to others", n)
	}
	// In structs that were durable writes: those are no reason not to join reads.
	d.WriteConfig(32, []byte{0})
	for range 2 {
		for _, s := range together(d, writes...) {
			if s != ok {
				t.Errorf("a durable write: status %d", s)
			}
		}
	}
	d.WriteConfig(32, []byte{1})
	for r, s := range together(d, append(reads, q.Prepare([][]byte{header(out, 24*16), want[24*8192:][:4096]}, []int{1}))...) {
		if s != ok {
			t.Errorf("a read: status %d", s)
		}
		if r.Written() != 8193 && r.Written() != 1 {
			t.Errorf("%d bytes were read", r.Written())
		}
	}
	for i, r := range reads {
		off := (i + i/7) * 8192
		if !bytes.Equal(r.In()[:8192], want[off:][:8192]) {
			t.Errorf("wrong contents at %d", off)
		}
	}
	if n := dev.Stats().Joined; n != 18*4 {
		t.Errorf("%d of 49 requests were joined to others", n)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file is not what was written: %v", err)
	}
}

// TestJoinedErrors: of neighbours that go to the disk together, those have errors
// that lie behind its end, and all others are done.
func TestJoinedErrors(t *testing.T) {
	_, d, path, told := joining(t)
	q := d.Queue(0)
	// The sixth is there in part.
	if err := os.Truncate(path, 5*8192+4096); err != nil {
		t.Fatal(err)
	}
	var reads []*virtiotest.Request
	for i := range 10 {
		reads = append(reads, q.Prepare([][]byte{header(in, uint64(i)*16)}, []int{8192, 1}))
	}
	answers := together(d, reads...)
	for i, r := range reads {
		if want := byte(ok); i < 5 && (answers[r] != want || !bytes.Equal(r.In()[:8192], pattern(i*8192, 8192))) {
			t.Errorf("read %d: status %d, or wrong contents", i, answers[r])
		}
		if i >= 5 && answers[r] != ioErr {
			t.Errorf("read %d: status %d", i, answers[r])
		}
	}
	if s := told.String(); !strings.Contains(s, "the image ends before the disk does") {
		t.Errorf("people were told: %s", s)
	}
}

// TestJoinedInPieces: one of the neighbours lies in memory so that the kernel
// refuses them all.
func TestJoinedInPieces(t *testing.T) {
	_, d, path, _ := joining(t)
	q := d.Queue(0)
	p := pattern(5, 4*4096)
	var writes []*virtiotest.Request
	for i := range 4 {
		data := [][]byte{header(out, uint64(i)*8), p[i*4096:][:4096]}
		if i == 2 {
			data = [][]byte{header(out, uint64(i)*8), p[i*4096:][:100], p[i*4096:][100:4096]}
		}
		writes = append(writes, q.Prepare(data, []int{1}))
	}
	for _, s := range together(d, writes...) {
		if s != ok {
			t.Errorf("status %d", s)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got[:len(p)], p) {
		t.Errorf("the file is not what was written: %v", err)
	}
}

// TestJoinedInThePageCache: neighbours that the page cache has come from it in one
// call, and those that the file does not have any more are errors, one by one.
func TestJoinedInThePageCache(t *testing.T) {
	path := image(t, imageSize)
	dev := open(t, blk.Config{Path: path})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	q := d.Queue(0)
	var reads []*virtiotest.Request
	for i := range 10 {
		reads = append(reads, q.Prepare([][]byte{header(in, uint64(i)*16)}, []int{100, 8092, 1}))
	}
	for _, s := range together(d, reads...) {
		if s != ok {
			t.Errorf("status %d", s)
		}
	}
	for i, r := range reads {
		if !bytes.Equal(r.In()[:8192], pattern(i*8192, 8192)) {
			t.Errorf("read %d: wrong contents", i)
		}
	}
	if s := dev.Stats(); s.Joined != 9 || s.Inline != 10 {
		t.Errorf("%d joined, %d from the page cache", s.Joined, s.Inline)
	}
	if err := os.Truncate(path, 5*8192+4096); err != nil {
		t.Fatal(err)
	}
	answers := together(d, reads...)
	for i, r := range reads {
		if s := answers[r]; (i < 5) != (s == ok) || s != ok && s != ioErr {
			t.Errorf("read %d: status %d", i, answers[r])
		}
	}
}
