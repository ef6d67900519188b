package rng_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

func open(t testing.TB, c rng.Config) *rng.Device {
	t.Helper()
	d, err := rng.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestFillsBuffers(t *testing.T) {
	for _, o := range []struct {
		name string
		o    virtiotest.Options
	}{
		{"split", virtiotest.Options{}},
		{"packed", virtiotest.Options{Packed: true}},
		{"chains in the ring", virtiotest.Options{NoIndirect: true, NoEventIndex: true}},
	} {
		t.Run(o.name, func(t *testing.T) {
			dev := open(t, rng.Config{})
			q := virtiotest.New(t, dev, o.o).Queue(0)
			for _, tt := range []struct {
				name string
				in   []int
				want int
			}{
				{"as Linux", []int{64}, 64},
				{"several buffers", []int{100, 1, 300}, 401},
				{"capped", []int{rng.MaxRequest - 10, 50}, rng.MaxRequest},
			} {
				r := q.Do(nil, tt.in)
				if r.Written() != tt.want {
					t.Fatalf("%s: wrote %d bytes, want %d", tt.name, r.Written(), tt.want)
				}
				in := r.In()
				if tt.want > 32 && bytes.Contains(in[:tt.want], make([]byte, 16)) {
					t.Errorf("%s: 16 zeroes in a row", tt.name)
				}
				if rest := in[tt.want:]; !bytes.Equal(rest, make([]byte, len(rest))) {
					t.Errorf("%s: wrote behind what it says it wrote", tt.name)
				}
			}
			if n := q.Do([][]byte{{1, 2, 3}}, nil).Written(); n != 0 {
				t.Errorf("wrote %d bytes to a request with no room", n)
			}
			if s := dev.Stats(); s.Requests != 4 || s.Bytes != 64+401+rng.MaxRequest || s.Throttled != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestLimitsHoldBack(t *testing.T) {
	dev := open(t, rng.Config{Limits: ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 100, Refill: 50 * time.Millisecond}}})
	q := virtiotest.New(t, dev, virtiotest.Options{}).Queue(0)
	begin := time.Now()
	for range 3 {
		q.Do(nil, []int{100})
	}
	if d := time.Since(begin); d < 90*time.Millisecond {
		t.Errorf("200 bytes beyond the burst took %v, want 100 ms", d)
	}
	if n := dev.Stats().Throttled; n == 0 || n > 20 {
		t.Errorf("throttled %d times: want a few, and no spinning", n)
	}
}

func TestWaitingRequestMoves(t *testing.T) {
	slow := ratelimit.Config{Ops: &ratelimit.Bucket{Size: 1, Refill: time.Hour}}
	d := virtiotest.New(t, open(t, rng.Config{Limits: slow}), virtiotest.Options{})
	q := d.Queue(0)
	q.Do(nil, []int{8})
	q.Add(nil, []int{8})
	q.Kick()
	d.SaveRestore(open(t, rng.Config{}))
	if n := q.Wait().Written(); n != 8 {
		t.Errorf("wrote %d bytes", n)
	}
}

// TestSetLimits: a request that waits for an hour does no longer.
func TestSetLimits(t *testing.T) {
	slow := ratelimit.Config{Ops: &ratelimit.Bucket{Size: 1, Refill: time.Hour}}
	dev := open(t, rng.Config{Limits: slow})
	q := virtiotest.New(t, dev, virtiotest.Options{}).Queue(0)
	q.Do(nil, []int{8})
	q.Add(nil, []int{8})
	q.Kick()
	for dev.Stats().Throttled == 0 {
		runtime.Gosched()
	}
	if err := dev.SetLimits(ratelimit.Config{Ops: &ratelimit.Bucket{}}); err == nil {
		t.Error("an empty bucket was taken")
	}
	if err := dev.SetLimits(ratelimit.Config{}); err != nil {
		t.Fatal(err)
	}
	if n := q.Wait().Written(); n != 8 {
		t.Errorf("wrote %d bytes", n)
	}
}

func TestRefusesConfigAndState(t *testing.T) {
	_, err := rng.New(rng.Config{Limits: ratelimit.Config{Ops: &ratelimit.Bucket{}}})
	if err == nil || !strings.Contains(err.Error(), "rng: limits: operations") {
		t.Errorf("an empty bucket: %v", err)
	}
	if err := open(t, rng.Config{}).SetState(1); err == nil {
		t.Error("took a state that is none")
	}
}

func TestBadChainNeedsReset(t *testing.T) {
	d := virtiotest.New(t, open(t, rng.Config{}), virtiotest.Options{})
	d.Queue(0).AddRaw([]virtiotest.Desc{{Addr: 1 << 40, Len: 64, Flags: virtiotest.Write}})
	d.Queue(0).Kick()
	d.WaitConfigChanged()
	if d.Instance().Status()&virtio.StatusNeedsReset == 0 || d.Failure() == nil {
		t.Fatal("the device went on")
	}
	d.Reset()
	if d.Queue(0).Do(nil, []int{16}).Written() != 16 {
		t.Fatal("no answer after the reset")
	}
}

func TestRequestAllocatesNothing(t *testing.T) {
	q := virtiotest.New(t, open(t, rng.Config{}), virtiotest.Options{}).Queue(0)
	r := q.Prepare(nil, []int{64, 64})
	round := func() {
		q.Submit(r)
		q.Kick()
		q.Wait()
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func FuzzDevice(f *testing.F) {
	f.Add(uint64(0x1000), uint32(64), uint16(2), uint16(0), false)
	f.Add(uint64(1<<63), uint32(1<<31), uint16(7), uint16(3), true)
	f.Fuzz(func(t *testing.T, addr uint64, n uint32, flags, next uint16, packed bool) {
		d := virtiotest.New(t, open(t, rng.Config{}), virtiotest.Options{Memory: 1 << 20, Packed: packed})
		q := d.Queue(0)
		// The rings lie in the first pages; a guest that lets its own rings be
		// overwritten would only fuzz the driver.
		at := memory.Addr(addr)
		if at < 0x80000 {
			at += 0x80000
		}
		q.AddRaw([]virtiotest.Desc{{Addr: at, Len: n, Flags: flags &^ virtiotest.Next, Next: next}})
		q.ForceKick()
		if q.WaitFor(virtiotest.Deadline) == nil {
			d.Reset()
			if got := q.Do(nil, []int{16}).Written(); got != 16 {
				t.Fatalf("%d bytes after a reset", got)
			}
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	for _, n := range []int{64, 4096} {
		b.Run(map[int]string{64: "64B", 4096: "4KiB"}[n], func(b *testing.B) {
			q := virtiotest.New(b, open(b, rng.Config{}), virtiotest.Options{}).Queue(0)
			r := q.Prepare(nil, []int{n})
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				q.Submit(r)
				q.Kick()
				q.Wait()
			}
		})
	}
}
