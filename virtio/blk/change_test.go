package blk_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

func limits(ops uint64, refill time.Duration) ratelimit.Config {
	if ops == 0 {
		return ratelimit.Config{}
	}
	return ratelimit.Config{Ops: &ratelimit.Bucket{Size: ops, Refill: refill}}
}

func TestResize(t *testing.T) {
	path := image(t, 1<<20)
	dev := open(t, blk.Config{Path: path})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	q := d.Queue(0)
	if s := write(q, 1<<20, make([]byte, 512)); s != ioErr {
		t.Fatalf("a write behind the end: status %d", s)
	}
	capacity := func() uint64 { return binary.LittleEndian.Uint64(d.ReadConfig(0, 8)) * 512 }
	for _, size := range []int64{2 << 20, 512 << 10, 1<<20 + 100} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if err := dev.Refresh(); err != nil {
			t.Fatal(err)
		}
		d.WaitConfigChanged()
		if got, want := capacity(), uint64(size)&^511; got != want {
			t.Errorf("%d bytes after a resize to %d", got, size)
		}
		if s := write(q, int(size)&^511-512, make([]byte, 512)); s != ok {
			t.Errorf("a write to the last sector: status %d", s)
		}
		if s := write(q, int(size)&^511, make([]byte, 512)); s != ioErr {
			t.Errorf("a write behind the last sector: status %d", s)
		}
	}
}

// TestRefreshWhilePaused: the driver is interrupted after the pause.
func TestRefreshWhilePaused(t *testing.T) {
	path := image(t, 1<<20)
	dev := open(t, blk.Config{Path: path})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	d.Pause()
	if err := os.Truncate(path, 2<<20); err != nil {
		t.Fatal(err)
	}
	if err := dev.Refresh(); err != nil {
		t.Fatal(err)
	}
	if d.Link().WaitConfig(0) {
		t.Error("an interrupt came during the pause")
	}
	d.Resume()
	d.WaitConfigChanged()
	d.Reset()
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	d.Link().SetStatus(0)
	if err := dev.Refresh(); err != nil {
		t.Fatal(err)
	}
	if d.Link().WaitConfig(0) {
		t.Error("an interrupt came without a driver")
	}
}

func TestChange(t *testing.T) {
	first, second := image(t, 1<<20), image(t, 2<<20)
	if err := os.WriteFile(second, bytes.Repeat([]byte{7}, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	dev := open(t, blk.Config{Path: first, Serial: "first"})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	q := d.Queue(0)
	wantBytes(t, q, 0, pattern(0, 4096))
	for _, c := range []blk.Config{{Path: second + ".none"}, {Path: second, ReadOnly: true}, {Path: second, Queues: -1}} {
		if err := dev.Change(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
		wantBytes(t, q, 0, pattern(0, 4096))
	}
	// In mid-work: each request is served by one of the two.
	for range 50 {
		q.Add([][]byte{header(in, 0)}, []int{4096, 1})
	}
	q.Kick()
	if err := dev.Change(blk.Config{Path: second, Serial: "second"}); err != nil {
		t.Fatal(err)
	}
	d.WaitConfigChanged()
	for range 50 {
		r := q.Wait()
		if b := r.In()[:4096]; status(r) != ok || !bytes.Equal(b, pattern(0, 4096)) && !bytes.Equal(b, bytes.Repeat([]byte{7}, 4096)) {
			t.Fatal("a request was not served by one image")
		}
	}
	wantBytes(t, q, 2<<20-512, bytes.Repeat([]byte{7}, 512))
	if r := q.Do([][]byte{header(getID, 0)}, []int{20, 1}); !strings.HasPrefix(string(r.In()), "second\x00") {
		t.Errorf("serial number %q", r.In())
	}
	// The first is free again.
	open(t, blk.Config{Path: first})
}

func TestQueues(t *testing.T) {
	each(t, func(t *testing.T, c blk.Config, o virtiotest.Options) {
		c.Queues, c.QueueSize = 4, 32
		dev := open(t, c)
		d := virtiotest.New(t, dev, o)
		for i := range 4 {
			for j := range 6 {
				n := i*6 + j
				d.Queue(i).Add([][]byte{header(out, uint64(n*8)), bytes.Repeat([]byte{byte(n + 1)}, 4096)}, []int{1})
			}
		}
		for i := range 4 {
			d.Queue(i).Kick()
		}
		for i := range 24 {
			if s := status(d.Queue(i % 4).Wait()); s != ok {
				t.Fatalf("status %d", s)
			}
		}
		for n := range 24 {
			wantBytes(t, d.Queue((n+1)%4), n*4096, bytes.Repeat([]byte{byte(n + 1)}, 4096))
		}
	})
}

// TestConcurrent changes everything that can be changed while requests run.
func TestConcurrent(t *testing.T) {
	path := image(t, imageSize)
	dev := open(t, blk.Config{Path: path})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, do := range []func(){
		func() { dev.Refresh() },
		func() { dev.SetLimits(limits(1000, time.Millisecond)) },
		func() { d.Pause(); d.Resume() },
		func() { dev.Stats(); dev.ReadConfig(0, make([]byte, 60)) },
	} {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					do()
				}
			}
		})
	}
	q := d.Queue(0)
	for i := range 200 {
		wantBytes(t, q, i*4096, pattern(i*4096, 4096))
	}
	close(stop)
	wg.Wait()
}

func TestConfigErrors(t *testing.T) {
	path := image(t, 4096)
	other := open(t, blk.Config{Path: path})
	_ = other
	for _, x := range []struct {
		c    blk.Config
		want string
	}{
		{blk.Config{}, "path"},
		{blk.Config{Path: "x", Cache: "none"}, `cache: "none" is unknown`},
		{blk.Config{Path: "x", Engine: "aio"}, `engine: "aio" is unknown`},
		{blk.Config{Path: "x", Format: "vmdk"}, `format: "vmdk" is unknown`},
		{blk.Config{Path: "x", Queues: 65}, "queues: 65"},
		{blk.Config{Path: "x", QueueSize: 100}, "queue-size: 100"},
		{blk.Config{Path: "x", QueueSize: 2048}, "queue-size: 2048"},
		{blk.Config{Path: "x", Serial: "123456789012345678901"}, "serial"},
		{blk.Config{Path: "x", Serial: "a\nb"}, "serial"},
		{blk.Config{Path: "x", Limits: ratelimit.Config{Ops: &ratelimit.Bucket{}}}, "limits: operations"},
		{blk.Config{Path: "/nonexistent/x"}, "disk /nonexistent/x: no such file"},
		{blk.Config{Path: t.TempDir()}, "is a directory"},
		{blk.Config{Path: path}, "by another disk of this machine"},
		{blk.Config{Path: path, ReadOnly: true}, "in use"},
	} {
		if dev, err := blk.New(x.c); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v, want %q", x.c, err, x.want)
			if dev != nil {
				dev.Close()
			}
		}
	}
}

// TestAllocations: a request costs no allocation, whoever serves it.
func TestAllocations(t *testing.T) {
	each(t, func(t *testing.T, c blk.Config, o virtiotest.Options) {
		q := virtiotest.New(t, open(t, c), o).Queue(0)
		reqs := []*virtiotest.Request{
			q.Prepare([][]byte{header(in, 0)}, []int{4096, 1}),
			q.Prepare([][]byte{header(in, 8)}, []int{512, 3585}),
			q.Prepare([][]byte{header(out, 0), make([]byte, 4096)}, []int{1}),
			q.Prepare([][]byte{header(out, 1), make([]byte, 512)}, []int{1}),
			q.Prepare([][]byte{header(flush, 0)}, []int{1}),
		}
		round := func() {
			for _, r := range reqs {
				q.Submit(r)
			}
			q.Kick()
			for range reqs {
				for q.Poll() == nil {
					runtime.Gosched() // AllocsPerRun leaves one processor
				}
			}
		}
		// All goroutines of the process count. What others allocate, on a busy host, is not there each time.
		var n float64
		for range 3 {
			if n = testing.AllocsPerRun(20, round); n == 0 {
				return
			}
		}
		t.Errorf("%v allocations in %d requests", n, len(reqs))
	})
}
