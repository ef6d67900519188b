package vnet_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// pauseUnderLoad moves frames both ways over pauses: none may be lost or come twice,
// and guest memory rests.
func pauseUnderLoad(t *testing.T, d *virtiotest.Driver, send func([]byte), recv func() []byte) {
	t.Helper()
	const most = 60
	rx, tx := d.Queue(0), d.Queue(1)
	size := 2000
	if !d.Features().Has(vnet.FeatureMergeable) {
		size = 70000
	}
	sent, got, out, in := 0, 0, 0, 0
	both := func(n int) {
		for range n {
			tx.Add([][]byte{withHeader(frame(1000, sent))}, nil)
			send(frame(1000, 5000+in))
			sent, in = sent+1, in+1
		}
		tx.Kick()
	}
	for range 8 {
		for rx.Pending() < most {
			rx.Add(nil, []int{size})
		}
		rx.Kick()
		both(30)
		d.CheckPause(func() { both(10) })
		for ; got < in; got++ {
			_, f := received(t, rx)
			same(t, f, frame(1000, 5000+got))
		}
		for tx.Pending() > 0 {
			tx.Wait()
		}
		for ; out < sent; out++ {
			same(t, recv(), frame(1000, out))
		}
	}
	if rx.Poll() != nil || tx.Poll() != nil {
		t.Error("more answers than requests")
	}
}

func TestPauseUnderLoadTap(t *testing.T) {
	forms(t, func(t *testing.T, o virtiotest.Options) {
		o.Memory = 8 << 20
		dev, w := openTap(t, vnet.Config{})
		pauseUnderLoad(t, virtiotest.New(t, dev, o), w.send, w.recv)
	})
}

func TestPauseUnderLoadVHost(t *testing.T) {
	needVHost(t)
	dev, w := openTap(t, vnet.Config{VHost: vnet.VHostOn})
	pauseUnderLoad(t, virtiotest.New(t, dev, virtiotest.Options{Memory: 8 << 20}), w.send, w.recv)
}

func TestPauseUnderLoadStream(t *testing.T) {
	forms(t, func(t *testing.T, o virtiotest.Options) {
		o.Memory = 8 << 20
		dev, far := openStream(t, vnet.Config{})
		pauseUnderLoad(t, virtiotest.New(t, dev, o), func(f []byte) { writeFrame(t, far, f) }, func() []byte { return readFrame(t, far) })
	})
}
