package blk_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// mostZeroes is the longest write-zeroes request that a driver may make, in bytes.
const mostZeroes = 128 << 20

// large is an image without contents that notes the pieces that are asked of it.
type large struct {
	*fake
	begun   chan struct{}    // has an element when a call came
	tick    <-chan time.Time // takes one at each
	longest atomic.Int64     // bytes
	cleared atomic.Int64
}

// newLarge makes one that takes a piece a tick; with a nil tick it takes them at once.
func newLarge(tick <-chan time.Time) *large {
	return &large{fake: &fake{}, begun: make(chan struct{}, 1), tick: tick}
}

func (l *large) Size() int64 { return mostZeroes }

func (l *large) Zero(_, n int64, _ bool) error {
	select {
	case l.begun <- struct{}{}:
	default:
	}
	if l.tick != nil {
		<-l.tick
	}
	l.longest.Store(max(l.longest.Load(), n))
	l.cleared.Add(n)
	return nil
}

func (l *large) Discard(off, n int64) error { return l.Zero(off, n, true) }

// fillWith makes a ring full of discards or write-zeroes of everything available.
func fillWith(q *virtiotest.Queue, kind uint32) {
	for range q.Size() {
		q.Add([][]byte{header(kind, 0), ranges([3]uint64{0, mostZeroes / 512, 0})}, []int{1})
	}
	q.Kick()
}

// TestClearInPieces: a reset and the machine's end abandon discards and
// write-zeroes after the call under way, and the device works afterwards.
func TestClearInPieces(t *testing.T) {
	for _, kind := range []uint32{discard, writeZeroes} {
		img := newLarge(time.Tick(50 * time.Millisecond))
		d := virtiotest.New(t, open(t, blk.Config{Path: "large", Image: img}), virtiotest.Options{})
		fillWith(d.Queue(0), kind)
		<-img.begun
		d.Link().SetStatus(0)
		if n := img.cleared.Load(); n >= mostZeroes {
			t.Errorf("type %d: %d MiB were cleared before the reset was over", kind, n>>20)
		}
		most := int64(1 << 20)
		if kind == discard {
			most = 8 << 20
		}
		if n := img.longest.Load(); n > most {
			t.Errorf("type %d: a call for %d KiB", kind, n>>10)
		}
		d.Reset()
		if s := status(d.Queue(0).Do([][]byte{header(kind, 0), ranges([3]uint64{0, 8, 0})}, []int{1})); s != ok {
			t.Errorf("type %d after the reset: status %d", kind, s)
		}
	}
}

// TestHaltAmongZeroes: a machine that ends does not wait for the zeroes that its
// guest asked for, with each engine, on a file system that must write them out.
func TestHaltAmongZeroes(t *testing.T) {
	const dir = "/dev/shm"
	if unix.Access(dir, unix.W_OK) != nil {
		t.Skip("no " + dir)
	}
	for _, e := range blk.Engines {
		path := filepath.Join(dir, "mayfly-halt-"+filepath.Base(t.TempDir())+string(e))
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
		f.Truncate(mostZeroes)
		f.Close()
		dev := open(t, blk.Config{Path: path, Engine: e})
		d := virtiotest.New(t, dev, virtiotest.Options{})
		q := d.Queue(0)
		fillWith(q, writeZeroes)
		if s := status(q.Wait()); s != ok { // the next is under way
			t.Errorf("engine %q: status %d", e, s)
		}
		begin := time.Now()
		d.Instance().Halt()
		d.Instance().Close()
		took := time.Since(begin)
		t.Logf("engine %q: stopped in %v", e, took)
		if took > time.Second {
			t.Errorf("engine %q: the stop took %v", e, took)
		}
		dev.Close()
		os.Remove(path)
	}
}

// TestPauseAmongZeroes: a pause answers what was begun, which is one request, and
// leaves the others in the ring.
func TestPauseAmongZeroes(t *testing.T) {
	img := newLarge(nil)
	d := virtiotest.New(t, open(t, blk.Config{Path: "large", Image: img}), virtiotest.Options{})
	q := d.Queue(0)
	fillWith(q, writeZeroes)
	<-img.begun
	d.Pause()
	before := img.cleared.Load()
	if before%mostZeroes != 0 {
		t.Errorf("a pause left a request after %d bytes", before)
	}
	d.Resume()
	for range q.Size() {
		if s := status(q.Wait()); s != ok {
			t.Fatalf("status %d", s)
		}
	}
	if n := img.cleared.Load(); n != int64(q.Size())*mostZeroes {
		t.Errorf("%d MiB were cleared by %d requests of %d MiB", n>>20, q.Size(), mostZeroes>>20)
	}
}

// TestZeroesCost: zeroed bytes count in the bandwidth, with each engine; a request
// for more than the bucket holds goes through, and is paid for by those after it.
func TestZeroesCost(t *testing.T) {
	for _, e := range blk.Engines {
		path := image(t, 16<<20)
		dev := open(t, blk.Config{Path: path, Engine: e, Limits: ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 1 << 20, Refill: 25 * time.Millisecond}}})
		q := virtiotest.New(t, dev, virtiotest.Options{}).Queue(0)
		zero := func(mib uint64) {
			t.Helper()
			if s := status(q.Do([][]byte{header(writeZeroes, 0), ranges([3]uint64{0, mib << 11, 0})}, []int{1})); s != ok {
				t.Fatalf("engine %q: status %d", e, s)
			}
		}
		begin := time.Now()
		for range 5 {
			zero(1)
		}
		zero(8)
		zero(1)
		// 14 MiB before the last is through, of which 1 was there at the start.
		if took := time.Since(begin); took < 13*25*time.Millisecond-25*time.Millisecond {
			t.Errorf("engine %q: 14 MiB of zeroes took %v at 1 MiB in 25 ms", e, took)
		}
		if dev.Stats().Throttled == 0 {
			t.Errorf("engine %q: nothing was throttled", e)
		}
		// What is refused costs nothing, nor does a discard: it moves no bytes.
		begin = time.Now()
		for range 100 {
			q.Do([][]byte{header(writeZeroes, 0), ranges([3]uint64{0, 17 << 11, 0})}, []int{1})
			q.Do([][]byte{header(discard, 0), ranges([3]uint64{0, 16 << 11, 0})}, []int{1})
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("engine %q: requests that cost nothing took %v", e, took)
		}
	}
}
