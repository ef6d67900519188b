package vnet

import (
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/mayfly-vm/mayfly/virtio"
)

// batch and batchBytes end a batch: then the driver is told, and others get the
// processor.
const (
	batch      = 64
	batchBytes = 256 << 10
)

// mover is a goroutine that moves frames.
type mover interface {
	tell() // makes it find out that it is to end
	join() // waits until it has
}

// pump is a goroutine that serves one queue of a card on a stream: what
// virtio.Worker is, for work that also waits for a cable. It never waits for both:
// without buffers for the bell, with buffers for the cable.
type pump struct {
	d       *Device
	session *virtio.Session
	q       *virtio.Queue
	stopped atomic.Bool
	done    chan struct{}
	wake    atomic.Pointer[os.File] // the cable that it may wait for; nil: none
	look    virtio.Spinner
}

func (p *pump) init(d *Device, s *virtio.Session, q *virtio.Queue) {
	p.d, p.session, p.q, p.look = d, s, q, virtio.NewSpinner(d.spin)
}

func (p *pump) start(run func()) {
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		p.session.Guard(run)
	}()
}

// tell makes the goroutine find out that it is to end. The deadline stays until
// Device.halt takes it away.
func (p *pump) tell() {
	p.stopped.Store(true)
	p.q.Bell().Signal()
	if f := p.wake.Load(); f != nil {
		_ = f.SetDeadline(time.Unix(1, 0))
	}
}

// waitsFor says which cable a tell must wake the goroutine from. Whoever calls it
// looks at stopped afterwards, and then waits.
func (p *pump) waitsFor(f *os.File) { p.wake.Store(f) }

func (p *pump) join() { <-p.done }

// spin tells whether to look once more before sleeping.
func (p *pump) spin() bool {
	if p.stopped.Load() {
		return false
	}
	runtime.Gosched() // a processor that came back from its guest may wait for this thread
	return p.look.More()
}

// busy says that n frames were moved.
func (p *pump) busy(n int) {
	if n > 0 {
		p.look.Worked()
	}
}

// sleep waits until the driver has rung; it may return early.
func (p *pump) sleep() {
	p.q.Flush()
	if !p.q.EnableNotify() && !p.stopped.Load() {
		if p.q.Bell().Wait() == nil {
			p.q.Stats().Wakeups.Add(1)
		}
	}
	p.q.DisableNotify()
}

// nap is sleep for no longer than t, whatever is in the ring.
func (p *pump) nap(t time.Duration) {
	p.q.Flush()
	if !p.stopped.Load() {
		_ = p.q.Bell().WaitFor(max(t, leastPause))
	}
}

// rest waits for the bell alone.
func (p *pump) rest() {
	p.q.Flush()
	if !p.stopped.Load() {
		_ = p.q.Bell().Wait()
	}
}
