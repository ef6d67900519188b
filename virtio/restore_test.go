package virtio_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/statetest"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// noTransport is one whose driver is the test.
type noTransport struct{ virtio.Transport }

func (noTransport) Bind(int, int) error            { return nil }
func (noTransport) Unbind(int, int)                {}
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

// quietRig is an instance and a device that does nothing by itself.
type quietRig struct {
	dev *virtiotest.Quiet
	in  *virtio.Instance
}

func newQuietRig(t testing.TB) statetest.Rig {
	dev := &virtiotest.Quiet{Echo: virtiotest.Echo{Sizes: []uint16{8, 16}}}
	in := dev.NewInstance(t)
	in.Attach(noTransport{})
	return quietRig{dev, in}
}

func (d quietRig) State() any {
	s := d.dev.Save(d.in)
	return &s
}

func (d quietRig) SetState(v any) error { return d.dev.Restore(d.in, *v.(*virtiotest.QuietState)) }

func (d quietRig) Step(r *rand.Rand) string {
	d.in.Resume()
	switch r.IntN(8) {
	case 0:
		d.in.SetStatus([]uint8{0, 3, 11, 15, 15, 128, 79}[r.IntN(7)])
	case 1, 2:
		d.in.Accept([]virtio.Feature{0, virtio.FeatureVersion1, virtio.FeatureVersion1 | virtio.FeatureRingPacked, 1 << 63}[r.IntN(4)])
	case 3, 4:
		at := memory.Addr(0x1000 * r.Uint64N(0x110))
		q := virtio.QueueState{Size: 1 << r.IntN(6), Ready: r.IntN(2) == 0, Desc: at, Driver: at + 0x1000, Device: at + 0x2000}
		d.in.SetQueue(r.IntN(3), func(s *virtio.QueueState) { *s = q })
	case 5: // what a driver does that knows what it wants
		d.in.Accept(virtio.FeatureVersion1)
		d.in.SetStatus(11)
		for i := range 2 {
			at := memory.Addr(0x3000 * i)
			d.in.SetQueue(i, func(q *virtio.QueueState) {
				*q = virtio.QueueState{Size: 8, Ready: true, Desc: at, Driver: at + 0x1000, Device: at + 0x2000}
			})
		}
		d.in.SetStatus(15)
	case 6:
		d.in.ConfigChanged()
	case 7:
		d.in.WriteConfig(r.Uint64N(40), []byte{byte(r.Uint32())})
	}
	d.in.Notify(r.IntN(3))
	popped := d.pop(r.IntN(2))
	var config [40]byte
	d.in.ReadConfig(0, config[:])
	return fmt.Sprintf("status %#x, features %#x, queues %+v %+v, generation %d, config %x, popped %v", d.in.Status(), d.in.Accepted(), d.queue(0), d.queue(1), d.in.Generation(), config, popped)
}

// pop takes a chain of queue i, if there is one, and gives it back as used.
func (d quietRig) pop(i int) (popped bool) {
	s := d.dev.Session
	if s == nil || s.Queue(i) == nil {
		return false
	}
	s.Guard(func() {
		var c virtio.Chain
		if popped = s.Queue(i).Pop(&c); popped {
			s.Queue(i).Push(&c, 0)
		}
	})
	return popped
}

// queue is what the driver has set up.
func (d quietRig) queue(i int) virtio.QueueState {
	q := d.in.Queue(i)
	q.Avail, q.Used = 0, 0
	return q
}

func TestRestoreBehavesAsSaved(t *testing.T) { statetest.Differential(t, 100, newQuietRig) }

func FuzzRestore(f *testing.F) {
	// The device may have taken its part of a state that is refused.
	statetest.Fuzz(f, newQuietRig, func(s any) { s.(*virtiotest.QuietState).Device = virtiotest.EchoState{} })
}
