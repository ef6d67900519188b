package blk_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// reports collects what people are told.
type reports struct {
	mu  sync.Mutex
	all []string
}

func (r *reports) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, err.Error())
}

func (r *reports) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.all, "\n")
}

// TestTruncated: a file that was cut while the machine runs gives errors, not
// signals, and works again when it is whole.
func TestTruncated(t *testing.T) {
	each(t, func(t *testing.T, c blk.Config, o virtiotest.Options) {
		var told reports
		c.Report = told.add
		dev := open(t, c)
		q := virtiotest.New(t, dev, o).Queue(0)
		if err := os.Truncate(c.Path, 1<<20+4096); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, q, 0, pattern(0, 4096))
		if _, s := read(q, 2<<20, 4096); s != ioErr {
			t.Errorf("a read behind the end: status %d", s)
		}
		if _, s := read(q, 1<<20, 8192); s != ioErr {
			t.Errorf("a read over the end: status %d", s)
		}
		if dev.Stats().Errors != 2 {
			t.Errorf("%d errors are counted", dev.Stats().Errors)
		}
		if s := told.String(); strings.Count(s, "\n") != 0 || !strings.Contains(s, "root.img: a read of 4096 bytes at 2097152: the image ends") {
			t.Errorf("people were told: %s", s)
		}
		if s := write(q, 2<<20, pattern(0, 4096)); s != ok {
			t.Errorf("a write that makes it longer: status %d", s)
		}
		wantBytes(t, q, 2<<20, pattern(0, 4096))
		wantBytes(t, q, 4096, pattern(4096, 65536))
	})
}

// TestNoSpace: a full file system.
func TestNoSpace(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("cannot mount a small tmpfs:", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	for _, e := range blk.Engines {
		path := filepath.Join(dir, "disk"+string(e))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		os.Truncate(path, 8<<20)
		var told reports
		dev := open(t, blk.Config{Path: path, Engine: e, Report: told.add})
		q := virtiotest.New(t, dev, virtiotest.Options{}).Queue(0)
		p := bytes.Repeat([]byte{1}, 512<<10)
		var last byte
		for i := 0; i < 4 && last == ok; i++ {
			last = write(q, i*len(p), p)
		}
		if last != ioErr || !strings.Contains(told.String(), "no space left") {
			t.Errorf("engine %q: status %d, %s", e, last, told.String())
		}
		if _, s := read(q, 4<<20, 4096); s != ok {
			t.Errorf("the next read: status %d", s)
		}
		os.Remove(path)
		dev.Close()
	}
}

// TestImageErrors: an image whose disk fails, and one that does a little at a time.
func TestImageErrors(t *testing.T) {
	f := &fake{data: pattern(0, 1<<20)}
	dev := open(t, blk.Config{Path: "fake", Image: f})
	q := virtiotest.New(t, dev, virtiotest.Options{}).Queue(0)
	f.set(unix.EIO, 0)
	if _, s := read(q, 0, 512); s != ioErr {
		t.Errorf("read: %d", s)
	}
	if s := write(q, 0, make([]byte, 512)); s != ioErr {
		t.Errorf("write: %d", s)
	}
	for _, req := range [][][]byte{{header(flush, 0)}, {header(discard, 0), ranges([3]uint64{0, 8, 0})}, {header(writeZeroes, 0), ranges([3]uint64{0, 8, 0})}} {
		if s := status(q.Do(req, []int{1})); s != ioErr {
			t.Errorf("type %d: %d", req[0][0], s)
		}
	}
	if n := dev.Stats().Errors; n != 5 {
		t.Errorf("%d errors are counted", n)
	}
	f.set(nil, 1000)
	wantBytes(t, q, 512, pattern(512, 64<<10))
	if s := write(q, 4096, pattern(0, 20<<10)); s != ok {
		t.Errorf("write: %d", s)
	}
	wantBytes(t, q, 4096, pattern(0, 20<<10))
}

// TestStop: a stop waits for what is under way, and answers it.
func TestStop(t *testing.T) {
	f := &fake{data: pattern(0, 1<<20), gate: make(chan struct{})}
	dev := open(t, blk.Config{Path: "fake", Image: f})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	q := d.Queue(0)
	for i := range 40 {
		q.Add([][]byte{header(in, uint64(i))}, []int{512, 1})
	}
	q.Kick()
	f.gate <- struct{}{} // somebody is at it
	paused := make(chan struct{})
	go func() {
		d.Pause()
		close(paused)
	}()
	q.Wait()
	select {
	case <-paused:
		t.Fatal("a stop leaves requests under way")
	default:
	}
	close(f.gate)
	<-paused
	d.Resume()
	for range 39 {
		if s := status(q.Wait()); s != ok {
			t.Fatalf("status %d", s)
		}
	}
	if calls, _ := f.count(); calls != 40 {
		t.Errorf("%d calls for 40 requests", calls)
	}
}

// TestSaveRestore moves a disk in mid-work.
func TestSaveRestore(t *testing.T) {
	each(t, func(t *testing.T, c blk.Config, o virtiotest.Options) {
		c.Queues = 2
		dev := open(t, c)
		d := virtiotest.New(t, dev, o)
		d.WriteConfig(32, []byte{0})
		for i := range 100 {
			q := d.Queue(i % 2)
			q.Add([][]byte{header(out, uint64(i*8)), bytes.Repeat([]byte{byte(i)}, 4096)}, []int{1})
			q.Kick()
		}
		// Two devices can't have one file: the new one gets a copy of it, and what was
		// on its way to the old one is written there when it is paused.
		d.Pause()
		c.Path = copyOf(t, c.Path)
		d = d.SaveRestore(open(t, c))
		for i := range 100 {
			if s := status(d.Queue(i % 2).Wait()); s != ok {
				t.Fatalf("status %d", s)
			}
		}
		if d.ReadConfig(32, 1)[0] != 0 {
			t.Error("the driver's choice of a cache is lost")
		}
		for i := range 100 {
			wantBytes(t, d.Queue(i%2), i*4096, bytes.Repeat([]byte{byte(i)}, 4096))
		}
	})
}

func copyOf(t *testing.T, path string) string {
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".copy", p, 0o600); err != nil {
		t.Fatal(err)
	}
	return path + ".copy"
}

func TestStates(t *testing.T) {
	dev := open(t, blk.Config{})
	for _, s := range []any{nil, 7, &blk.State{}, &blk.State{Version: 99}, &blk.State{Version: 1, Capacity: 512}, (*blk.State)(nil)} {
		if dev.SetState(s) == nil {
			t.Errorf("state %v was taken", s)
		}
	}
	if err := dev.SetState(dev.State()); err != nil {
		t.Error(err)
	}
}

// TestLimits: a disk held to 20 operations at once and then 1 in 50 ms.
func TestLimits(t *testing.T) {
	dev := open(t, blk.Config{Limits: limits(20, time.Second)})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	q := d.Queue(0)
	begin := time.Now()
	for range 24 {
		q.Add([][]byte{header(in, 0)}, []int{512, 1})
	}
	q.Kick()
	for range 24 {
		if s := status(q.Wait()); s != ok {
			t.Fatalf("status %d", s)
		}
	}
	if took := time.Since(begin); took < 190*time.Millisecond {
		t.Errorf("24 operations took %v", took)
	}
	if dev.Stats().Throttled == 0 {
		t.Error("nothing was throttled")
	}
	// With no tokens for an hour: a pause is not held up, nor is a change of limits.
	if err := dev.SetLimits(limits(1, time.Hour)); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		q.Add([][]byte{header(in, 0)}, []int{512, 1})
	}
	q.Kick()
	d.Pause()
	d.Resume()
	if err := dev.SetLimits(limits(0, 0)); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if s := status(q.Wait()); s != ok {
			t.Fatalf("status %d", s)
		}
	}
	if dev.SetLimits(limits(1, -1)) == nil {
		t.Error("bad limits were taken")
	}
}
