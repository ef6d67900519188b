package vnet_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/netnstest"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/internal/vhost"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// needVHost skips a test where there is no vhost-net.
func needVHost(t testing.TB) {
	t.Helper()
	needDevice(t, vhost.NetPath)
}

// needDevice skips a test where the kernel has no such vhost device, or this user
// may not open it. Package test/vhost runs these tests where it is.
func needDevice(t testing.TB, path string) {
	t.Helper()
	if unix.Access(path, unix.R_OK|unix.W_OK) != nil {
		t.Skip("no " + path + " on this machine: go test ./test/vhost runs this in the nest")
	}
}

func TestVHostBothWays(t *testing.T) {
	needVHost(t)
	for _, merge := range []bool{true, false} {
		o := virtiotest.Options{}
		if !merge {
			o.Without = vnet.FeatureMergeable
		}
		dev, w := openTap(t, vnet.Config{MTU: 9000, VHost: vnet.VHostOn})
		if !dev.VHost() {
			t.Fatal("the kernel does not move the frames")
		}
		d := virtiotest.New(t, dev, o)
		rx, tx := d.Queue(0), d.Queue(1)
		buffer := 1700
		if !merge {
			buffer = 70000
		}
		for i := range 200 {
			n := 60 + i*40
			out := frame(n, i)
			tx.Do([][]byte{withHeader(out)}, nil)
			same(t, w.recv(), out)
			for rx.Pending() < 16 {
				rx.Add(nil, []int{buffer})
			}
			rx.Kick()
			w.send(frame(n, i+1000))
			if merge {
				_, got := received(t, rx)
				same(t, got, frame(n, i+1000))
			} else { // kernels before 6.14 leave num_buffers 0 then
				r := rx.Wait()
				same(t, r.In()[headerSize:r.Written()], frame(n, i+1000))
			}
			if i%20 == 7 { // the rings go from the kernel to us and back
				d.Pause()
				d.Resume()
			}
		}
		if i := dev.Stats(); i.RxFrames+i.TxFrames != 0 {
			t.Errorf("frames went through this process: %+v", i)
		}
	}
}

// TestVHostToProcess saves a card that the kernel serves and restores it into one
// that this process does.
func TestVHostToProcess(t *testing.T) {
	needVHost(t)
	for _, to := range []vnet.VHost{vnet.VHostOff, vnet.VHostOn} {
		dev, w := openTap(t, vnet.Config{VHost: vnet.VHostOn})
		dev2, w2 := openTap(t, vnet.Config{VHost: to})
		d := virtiotest.New(t, dev, virtiotest.Options{})
		for range 20 {
			d.Queue(0).Add(nil, []int{2000})
		}
		d.Queue(0).Kick()
		w.send(frame(200, 4))
		_, got := received(t, d.Queue(0))
		same(t, got, frame(200, 4))
		d2 := d.SaveRestore(dev2)
		w2.send(frame(300, 5))
		_, got = received(t, d2.Queue(0))
		same(t, got, frame(300, 5))
		d2.Queue(1).Do([][]byte{withHeader(frame(100, 2))}, nil)
		same(t, w2.recv(), frame(100, 2))
	}
}

func TestVHostLinkAndDeletion(t *testing.T) {
	needVHost(t)
	said := make(chan error, 4)
	dev, w := openTap(t, vnet.Config{Tap: "gone1", VHost: vnet.VHostOn, Report: func(err error) { said <- err }})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	dev.SetLink(false)
	d.WaitConfigChanged()
	dev.SetLink(true)
	d.WaitConfigChanged()
	d.Queue(1).Do([][]byte{withHeader(frame(100, 2))}, nil)
	same(t, w.recv(), frame(100, 2))
	w.ns.Do(func() error { return netnstest.Delete("gone1") })
	d.WaitConfigChanged()
	t.Log(<-said)
	d.Reset()
	d.Queue(1).Do([][]byte{withHeader(frame(100, 1))}, nil)
}

// TestVHostBadRing: the kernel gives up on a ring, and the device needs a reset.
func TestVHostBadRing(t *testing.T) {
	needVHost(t)
	dev, w := openTap(t, vnet.Config{VHost: vnet.VHostOn})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	s := d.Queue(1).Setup()
	idx, err := d.Memory().Slice(s.Driver+2, 2)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint16(idx, 40000) // further ahead than the queue is long
	d.Link().Notify(1)
	for d.Instance().Status()&virtio.StatusNeedsReset == 0 {
		d.WaitConfigChanged()
	}
	t.Log(d.Failure())
	d.Reset()
	d.Queue(1).Do([][]byte{withHeader(frame(100, 1))}, nil)
	same(t, w.recv(), frame(100, 1))
}

func TestVHostSeveralQueues(t *testing.T) {
	needVHost(t)
	dev, w := openTap(t, vnet.Config{Queues: 2, VHost: vnet.VHostOn})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	if r := d.Queue(4).Do([][]byte{{4, 0, 2, 0}}, []int{1}); r.In()[0] != 0 {
		t.Fatal("2 pairs were refused")
	}
	for i := range 2 {
		d.Queue(2*i+1).Do([][]byte{withHeader(frame(200, i))}, nil)
		same(t, w.recv(), frame(200, i))
	}
}

func BenchmarkVHostTransmit(b *testing.B) {
	needVHost(b)
	for _, way := range []vnet.VHost{vnet.VHostOn, vnet.VHostOff} {
		b.Run(string(way), func(b *testing.B) {
			dev, w := openTap(b, vnet.Config{VHost: way})
			w.f.Close()
			transmit(b, virtiotest.New(b, dev, virtiotest.Options{}), 1514)
		})
	}
}

func TestVHostVsock(t *testing.T) {
	needDevice(t, vhost.VsockPath)
	a, err := vhost.Open(vhost.VsockPath)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := vhost.Open(vhost.VsockPath)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := a.Own(); err != nil {
		t.Fatal(err)
	}
	if err := a.VsockSetGuestCID(42); err != nil {
		t.Fatal(err)
	}
	if err := b.VsockSetGuestCID(42); err == nil || !strings.Contains(err.Error(), "42") {
		t.Errorf("two machines have one address: %v", err)
	}
	f, err := a.Features()
	if err != nil || !f.Has(virtio.FeatureVersion1|virtio.FeatureEventIndex) {
		t.Errorf("features %#x, %v", f, err)
	}
	if err := a.VsockSetRunning(true); err == nil {
		t.Error("it runs without rings")
	}
}
