package virtio_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// noTransport is one whose driver is the test.
type noTransport struct{ virtio.Transport }

func (noTransport) Interrupt(int) virtio.Interrupt { return nil }
func (noTransport) ConfigChanged()                 {}
func (noTransport) Refresh()                       {}

func quiet(t *testing.T) (*virtiotest.Quiet, *virtio.Instance) {
	dev := &virtiotest.Quiet{}
	in := dev.NewInstance(t)
	in.Attach(noTransport{})
	return dev, in
}

// What a driver has written and the device has not accepted is no reason to refuse
// a state.
func TestRestoreInNegotiation(t *testing.T) {
	dev, in := quiet(t)
	in.Accept(1 << 63)
	in.SetStatus(3)
	in.SetStatus(11)
	if in.Status() != 3 {
		t.Fatalf("status %#x with a feature that is not offered", in.Status())
	}
	copied, to := quiet(t)
	if err := copied.Restore(to, dev.Save(in)); err != nil {
		t.Fatal(err)
	}
	if to.Accepted() != 1<<63 || to.Status() != 3 {
		t.Errorf("features %#x, status %#x", to.Accepted(), to.Status())
	}
}

// The queues of a device that needs a reset take no change before it.
func TestRestoreOfDeviceThatNeedsReset(t *testing.T) {
	dev, in := quiet(t)
	in.Accept(virtio.FeatureVersion1)
	in.SetStatus(11)
	in.SetQueue(0, func(q *virtio.QueueState) { q.Ready, q.Desc = true, 1<<40 })
	in.SetStatus(15)
	copied, to := quiet(t)
	if err := copied.Restore(to, dev.Save(in)); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]*virtio.Instance{"saved": in, "restored": to} {
		in.Resume()
		in.SetQueue(0, func(q *virtio.QueueState) { q.Ready = false })
		if in.Status() != 15|virtio.StatusNeedsReset || !in.Queue(0).Ready {
			t.Errorf("%s: status %#x, queue %+v", name, in.Status(), in.Queue(0))
		}
		if in.SetStatus(0); in.Status() != 0 || in.Queue(0).Ready {
			t.Errorf("%s, after the reset: status %#x, queue %+v", name, in.Status(), in.Queue(0))
		}
	}
}
