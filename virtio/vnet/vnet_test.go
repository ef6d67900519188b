package vnet_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/internal/netnstest"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

func forms(t *testing.T, run func(t *testing.T, o virtiotest.Options)) {
	for _, packed := range []bool{false, true} {
		for _, merge := range []bool{true, false} {
			t.Run(fmt.Sprintf("packed=%v,mergeable=%v", packed, merge), func(t *testing.T) {
				o := virtiotest.Options{Packed: packed}
				if !merge {
					o.Without = vnet.FeatureMergeable
				}
				run(t, o)
			})
		}
	}
}

// received puts a frame together from what came back from the receive queue.
func received(t testing.TB, q *virtiotest.Queue) (header, frame []byte) {
	t.Helper()
	r := q.Wait()
	all := r.In()[:r.Written()]
	if len(all) < headerSize {
		t.Fatalf("only %d bytes were written", len(all))
	}
	n := int(binary.LittleEndian.Uint16(all[10:]))
	if n < 1 {
		t.Fatalf("num_buffers is %d", n)
	}
	for range n - 1 {
		// The rest of a frame is there with its first part.
		more := q.Poll()
		if more == nil {
			t.Fatal("a part of a frame came without the others")
		}
		all = append(all, more.In()[:more.Written()]...)
	}
	return all[:headerSize], all[headerSize:]
}

func TestBothWays(t *testing.T) {
	forms(t, func(t *testing.T, o virtiotest.Options) {
		dev, w := openTap(t, vnet.Config{MTU: 9000})
		d := virtiotest.New(t, dev, o)
		rx, tx := d.Queue(0), d.Queue(1)
		buffer := 1700
		if !d.Features().Has(vnet.FeatureMergeable) {
			buffer = 70000
		}
		for i := range 300 {
			n := 60 + i*29
			out := frame(n, i)
			tx.Do([][]byte{make([]byte, headerSize), out[:14], out[14:]}, nil)
			same(t, w.recv(), out)

			for rx.Pending() < 8 {
				rx.Add(nil, []int{buffer})
			}
			rx.Kick()
			in := frame(n, i+1000)
			w.send(in)
			_, got := received(t, rx)
			same(t, got, in)
		}
		s := dev.Stats()
		if s.RxFrames < 300 || s.TxFrames != 300 || s.TxDropped != 0 || s.RxDropped != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestBurstWaitsForBuffers(t *testing.T) {
	dev, w := openTap(t, vnet.Config{})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	for i := range 200 {
		w.send(frame(1000, i))
	}
	rx := d.Queue(0)
	for i := range 200 {
		rx.Add(nil, []int{2000})
		rx.Kick()
		_, got := received(t, rx)
		same(t, got, frame(1000, i))
	}
}

func TestFrameWithoutRoomIsDropped(t *testing.T) {
	for _, merge := range []bool{true, false} {
		t.Run(fmt.Sprint(merge), func(t *testing.T) {
			o := virtiotest.Options{}
			if !merge {
				o.Without = vnet.FeatureMergeable
			}
			dev, w := openTap(t, vnet.Config{MTU: 9000})
			d := virtiotest.New(t, dev, o)
			rx := d.Queue(0)
			rx.Add(nil, []int{500})
			rx.Kick()
			w.send(frame(8000, 1))
			w.send(frame(100, 2))
			_, got := received(t, rx)
			same(t, got, frame(100, 2))
			if s := dev.Stats(); s.RxDropped != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestMalformedFramesAreDropped(t *testing.T) {
	dev, w := openTap(t, vnet.Config{})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	tx := d.Queue(1)
	bad := [][]byte{make([]byte, 1), make([]byte, headerSize), make([]byte, headerSize+13), make([]byte, 70000),
		append([]byte{1, 4, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0}, frame(100, 1)...)}
	for _, b := range bad {
		tx.Do([][]byte{b}, nil)
	}
	tx.Do(nil, []int{100}) // nothing to read
	if s := dev.Stats(); s.TxDropped != uint64(len(bad)+1) {
		t.Errorf("%+v", s)
	}
	tx.Do([][]byte{withHeader(frame(100, 7))}, nil)
	same(t, w.recv(), frame(100, 7))
}

func TestControl(t *testing.T) {
	dev, _ := openTap(t, vnet.Config{Queues: 2})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	c := d.Queue(4)
	table := func(n uint32, addrs int) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, n), make([]byte, 6*addrs)...)
	}
	for _, tc := range []struct {
		name string
		cmd  []byte
		want byte
	}{
		{"promisc", []byte{0, 0, 1}, 0},
		{"nobcast", []byte{0, 5, 1}, 0},
		{"unknown rx", []byte{0, 6, 1}, 1},
		{"table", append([]byte{1, 0}, append(table(2, 2), table(0, 0)...)...), 0},
		{"table too short", append([]byte{1, 0}, append(table(2, 2), table(1, 0)...)...), 1},
		{"table huge", append([]byte{1, 0}, table(0xffffffff, 0)...), 1},
		{"mac", []byte{1, 1, 0x02, 1, 2, 3, 4, 5}, 0},
		{"mac of a group", []byte{1, 1, 0x03, 1, 2, 3, 4, 5}, 1},
		{"pairs", []byte{4, 0, 2, 0}, 0},
		{"no pairs", []byte{4, 0, 0, 0}, 1},
		{"too many pairs", []byte{4, 0, 3, 0}, 1},
		{"announce", []byte{3, 0}, 0},
		{"no offloads", []byte{5, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0},
		{"checksum", []byte{5, 0, 2, 0, 0, 0, 0, 0, 0, 0}, 0},
		{"unknown offload", []byte{5, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 1},
		{"too short", []byte{1}, 1},
		{"unknown class", []byte{9, 9, 9}, 1},
	} {
		r := c.Do([][]byte{tc.cmd}, []int{1})
		if r.Written() != 1 || r.In()[0] != tc.want {
			t.Errorf("%s: answer %v, want %d", tc.name, r.In(), tc.want)
		}
	}
	d.WaitConfigChanged() // a transport that shows the space must learn of its own driver's changes too
	if got := d.ReadConfig(0, 6); got[1] != 1 || got[5] != 5 {
		t.Errorf("MAC %x", got)
	}
	if s := d.Instance().Status(); s&virtio.StatusNeedsReset != 0 {
		t.Error("the device needs a reset")
	}
}

// TestControlWithoutQueues: a driver that knows of no pairs has its control queue
// where the second pair would be.
func TestControlWithoutQueues(t *testing.T) {
	dev, _ := openTap(t, vnet.Config{Queues: 2})
	d := virtiotest.New(t, dev, virtiotest.Options{Without: vnet.FeatureQueues})
	r := d.Queue(2).Do([][]byte{{0, 0}, {1}}, []int{1})
	if r.In()[0] != 0 {
		t.Errorf("answer %v", r.In())
	}
}

func TestSeveralQueues(t *testing.T) {
	dev, w := openTap(t, vnet.Config{Queues: 3})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	if r := d.Queue(6).Do([][]byte{{4, 0, 3, 0}}, []int{1}); r.In()[0] != 0 {
		t.Fatal("3 pairs were refused")
	}
	for i := range 3 {
		f := frame(200, i)
		d.Queue(2*i+1).Do([][]byte{withHeader(f)}, nil)
		same(t, w.recv(), f)
		for range 200 {
			d.Queue(2*i).Add(nil, []int{2000})
		}
		d.Queue(2 * i).Kick()
	}
	for i := range 150 {
		f := frame(200, i)
		f[11] = byte(i) // another sender, maybe another queue
		w.send(f)
	}
	seen := 0
	for end := time.Now().Add(virtiotest.Deadline); seen < 150; {
		for i := range 3 {
			if d.Queue(2*i).WaitFor(time.Millisecond) != nil {
				seen++
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%d of 150 frames came; %+v", seen, dev.Stats())
		}
	}
}

func TestLink(t *testing.T) {
	dev, w := openTap(t, vnet.Config{})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	status := func() byte { return d.ReadConfig(6, 1)[0] & 1 }
	if status() != 1 {
		t.Fatal("the link is down at the start")
	}
	dev.SetLink(false)
	d.WaitConfigChanged()
	if status() != 0 {
		t.Fatal("the link is up")
	}
	d.Queue(1).Do([][]byte{withHeader(frame(100, 1))}, nil)
	if err := w.silent(); err != nil {
		t.Error(err)
	}
	dev.SetLink(true)
	d.WaitConfigChanged()
	d.Queue(1).Do([][]byte{withHeader(frame(100, 2))}, nil)
	same(t, w.recv(), frame(100, 2))
}

func TestTapDeleted(t *testing.T) {
	said := make(chan error, 10)
	dev, w := openTap(t, vnet.Config{Tap: "gone0", Report: func(err error) { said <- err }})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	d.Queue(0).Add(nil, []int{2000})
	d.Queue(0).Kick()
	w.ns.Do(func() error { return netnstest.Delete("gone0") })
	d.WaitConfigChanged()
	if d.ReadConfig(6, 1)[0]&1 != 0 {
		t.Error("the link is up")
	}
	t.Log(<-said)
	for range 10 { // the ring goes on
		d.Queue(1).Do([][]byte{withHeader(frame(100, 1))}, nil)
	}
	if s := d.Instance().Status(); s&virtio.StatusNeedsReset != 0 {
		t.Error("the device needs a reset")
	}
	d.Reset()
	d.Queue(1).Do([][]byte{withHeader(frame(100, 1))}, nil)
}

func TestLimits(t *testing.T) {
	limit := ratelimit.Config{Ops: &ratelimit.Bucket{Size: 10, Refill: 100 * time.Millisecond}}
	dev, w := openTap(t, vnet.Config{RX: limit, TX: limit})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	start := time.Now()
	for i := range 30 {
		d.Queue(1).Do([][]byte{withHeader(frame(100, i))}, nil)
		same(t, w.recv(), frame(100, i))
	}
	if took := time.Since(start); took < 150*time.Millisecond {
		t.Errorf("30 frames left in %v", took)
	}
	start = time.Now()
	for i := range 30 {
		d.Queue(0).Add(nil, []int{2000})
		d.Queue(0).Kick()
		w.send(frame(100, i))
		_, got := received(t, d.Queue(0))
		same(t, got, frame(100, i))
	}
	if took := time.Since(start); took < 150*time.Millisecond {
		t.Errorf("30 frames came in %v", took)
	}
}

// TestLimitOfOneWay: a direction that waits for its limit does not hold up the
// other, and a frame that was read is not lost when the card stops.
func TestLimitOfOneWay(t *testing.T) {
	once := ratelimit.Config{Ops: &ratelimit.Bucket{Size: 1, Refill: time.Hour}}
	t.Run("transmit", func(t *testing.T) {
		dev, w := openTap(t, vnet.Config{TX: once})
		d := virtiotest.New(t, dev, virtiotest.Options{})
		for range 2 { // the second waits
			d.Queue(1).Add([][]byte{withHeader(frame(100, 1))}, nil)
		}
		d.Queue(1).Kick()
		w.recv()
		for i := range 20 {
			d.Queue(0).Add(nil, []int{2000})
			d.Queue(0).Kick()
			w.send(frame(100, i))
			_, got := received(t, d.Queue(0))
			same(t, got, frame(100, i))
		}
		if d.Queue(1).Poll() == nil || d.Queue(1).Poll() != nil {
			t.Error("the limit let more or less than one frame through")
		}
	})
	t.Run("receive", func(t *testing.T) {
		dev, w := openTap(t, vnet.Config{RX: once})
		d := virtiotest.New(t, dev, virtiotest.Options{})
		for range 2 {
			d.Queue(0).Add(nil, []int{2000})
		}
		d.Queue(0).Kick()
		w.send(frame(100, 1))
		w.send(frame(100, 2)) // waits
		_, got := received(t, d.Queue(0))
		same(t, got, frame(100, 1))
		for i := range 20 {
			d.Queue(1).Do([][]byte{withHeader(frame(100, i))}, nil)
			same(t, w.recv(), frame(100, i))
		}
		for end := time.Now().Add(virtiotest.Deadline); dev.Stats().Throttled == 0; {
			if time.Now().After(end) {
				t.Fatal("the second frame does not wait")
			}
			runtime.Gosched()
		}
		if d.Queue(0).Poll() != nil {
			t.Fatal("the limit let two frames through")
		}
		d.Pause()
		_, got = received(t, d.Queue(0))
		same(t, got, frame(100, 2))
		d.Resume()
	})
}

// TestFrameWaitsForBuffers: a long frame is put together of buffers that come when
// it has been read, and the other direction goes on meanwhile.
func TestFrameWaitsForBuffers(t *testing.T) {
	dev, w := openTap(t, vnet.Config{MTU: 9000})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	rx := d.Queue(0)
	for tries := 0; ; tries++ {
		stalls, dropped := dev.Stats().RxStalls, dev.Stats().RxDropped
		rx.Add(nil, []int{500})
		rx.Kick()
		w.send(frame(8000, tries))
		for dev.Stats().RxStalls == stalls && dev.Stats().RxDropped == dropped {
			runtime.Gosched()
		}
		d.Queue(1).Do([][]byte{withHeader(frame(100, tries))}, nil)
		same(t, w.recv(), frame(100, tries))
		for range 20 {
			rx.Add(nil, []int{500})
		}
		rx.Kick()
		if dev.Stats().RxDropped > dropped && tries < 20 { // this computer took longer than its patience
			for rx.Pending() > 0 {
				w.send(frame(100, 0))
				received(t, rx)
			}
			continue
		}
		_, got := received(t, rx)
		same(t, got, frame(8000, tries))
		return
	}
}

func TestSaveRestore(t *testing.T) {
	forms(t, func(t *testing.T, o virtiotest.Options) {
		dev, _ := openTap(t, vnet.Config{Name: "a", MAC: "02:00:00:00:00:07"})
		dev2, w2 := openTap(t, vnet.Config{Name: "b"})
		d := virtiotest.New(t, dev, o)
		for range 20 {
			d.Queue(0).Add(nil, []int{70000})
		}
		d.Queue(0).Kick()
		d2 := d.SaveRestore(dev2)
		if got := d2.ReadConfig(0, 8); got[5] != 7 || got[6] != 3 {
			t.Errorf("configuration %x: want MAC …:07, link up, announce", got)
		}
		w2.send(frame(300, 5))
		_, got := received(t, d2.Queue(0))
		same(t, got, frame(300, 5))
		d2.Queue(1).Do([][]byte{withHeader(frame(100, 2))}, nil)
		same(t, w2.recv(), frame(100, 2))
	})
}

func TestStopUnderLoad(t *testing.T) {
	dev, w := openTap(t, vnet.Config{})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
				w.f.Write(frame(1000, 1))
			}
		}
	}()
	for range 50 {
		for d.Queue(0).Pending() < 100 {
			d.Queue(0).Add(nil, []int{2000})
		}
		d.Queue(0).Kick()
		received(t, d.Queue(0))
		d.Pause()
		d.Resume()
		d.Reset()
	}
	close(quit)
	<-done
}

// TestOffloadHeader sends a frame whose checksum the host is to make.
func TestOffloadHeader(t *testing.T) {
	dev, w := openTap(t, vnet.Config{})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	if !d.Features().Has(vnet.FeatureCSUM | vnet.FeatureGuestTSO4 | vnet.FeatureHostTSO6) {
		t.Fatalf("features %#x", d.Features())
	}
	h := make([]byte, headerSize)
	h[0] = 1 // needs a checksum
	binary.LittleEndian.PutUint16(h[6:], 34)
	binary.LittleEndian.PutUint16(h[8:], 6)
	d.Queue(1).Do([][]byte{h, frame(100, 1)}, nil)
	if got := w.recv(); len(got) != 100 {
		t.Fatalf("%d bytes", len(got))
	}
}

// TestTapGoneBeforeStart: a tap that was deleted while no driver ran is a link that
// is down, as one that goes later, and no device that doesn't start.
func TestTapGoneBeforeStart(t *testing.T) {
	said := make(chan error, 4)
	dev, w := openTap(t, vnet.Config{Report: func(err error) { said <- err }})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	d.Link().SetStatus(0)
	w.ns.Do(func() error { return netnstest.Delete(w.name) })
	d.Reset()
	linkBecomes(t, d, 0)
	if err := <-said; !strings.Contains(err.Error(), "was deleted") {
		t.Error(err)
	}
	d.Queue(1).Do([][]byte{withHeader(frame(100, 1))}, nil)
}
