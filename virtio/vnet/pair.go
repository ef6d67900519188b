package vnet

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/mayfly-vm/mayfly/internal/sys/epoll"
	"github.com/mayfly-vm/mayfly/internal/sys/tap"
	"github.com/mayfly-vm/mayfly/virtio"
)

// tapBatchBytes ends a batch too: the other direction waits meanwhile, about 100 us.
const tapBatchBytes = 1 << 20

// pair is the goroutine that serves both queues of a pair whose cable is a tap. It
// is awake for one direction while the other has work: the answer to a frame is
// often there when that was written.
//
// Neither direction waits for what it lacks, buffers or the end of a limit: it
// remembers it, and the goroutine sleeps when both have nothing to do.
type pair struct {
	session *virtio.Session
	cable   *tap.Queue
	rx      *tapReceiver // nil where the driver has set up no such queue
	tx      *tapSender   // likewise
	look    virtio.Spinner
	set     *epoll.Set // the bells, and the tap
	last    func() bool
	stopped atomic.Bool
	done    chan struct{}
}

func newPair(d *Device, s *virtio.Session, cable *tap.Queue, rx, tx *virtio.Queue) (*pair, error) {
	p := &pair{session: s, cable: cable, look: virtio.NewSpinner(d.spin), done: make(chan struct{})}
	p.last = p.lastLook
	var err error
	if p.set, err = epoll.New(); err != nil {
		return nil, err
	}
	if rx != nil {
		p.rx = newTapReceiver(d, cable, rx, s.Features.Has(FeatureMergeable))
		if err = p.set.Watch(rx.Bell().FD()); err == nil {
			err = p.set.Add(cable.FD())
		}
	}
	if tx != nil && err == nil {
		p.tx = newTapSender(d, cable, tx)
		err = p.set.Watch(tx.Bell().FD())
	}
	if err != nil {
		p.set.Close()
		return nil, err
	}
	return p, nil
}

func (p *pair) start() {
	go func() {
		defer close(p.done)
		defer p.set.Close()
		p.session.Guard(p.run)
	}()
}

func (p *pair) tell() {
	p.stopped.Store(true)
	if p.tx != nil {
		p.tx.q.Bell().Signal()
	}
	if p.rx != nil {
		p.rx.q.Bell().Signal()
	}
}

func (p *pair) join() { <-p.done }

func (p *pair) run() {
	if p.rx != nil {
		defer p.rx.win.restore()
		p.rx.q.DisableNotify()
	}
	if p.tx != nil {
		p.tx.q.DisableNotify()
	}
	for !p.stopped.Load() {
		switch {
		case p.work():
			p.look.Worked()
			runtime.Gosched() // a processor that came back from its guest may wait for this thread
		case !p.look.More():
			p.sleep()
		}
	}
	if p.rx != nil {
		p.rx.finish()
	}
}

// work moves a batch each way and tells whether there was any.
func (p *pair) work() bool {
	n := 0
	if p.tx != nil {
		n = p.tx.work()
	}
	if p.rx != nil {
		n += p.rx.work()
	}
	return n > 0
}

func (p *pair) sleep() {
	if err := p.set.Wait(p.last, p.until()); err != nil {
		p.session.Fail(err)
		p.stopped.Store(true)
	}
	if p.rx != nil {
		p.rx.q.DisableNotify()
		p.rx.q.Stats().Wakeups.Add(1)
	}
	if p.tx != nil {
		p.tx.q.DisableNotify()
		p.tx.q.Stats().Wakeups.Add(1)
	}
}

// lastLook asks for what is to wake the goroutine, and tells whether there is work
// already.
func (p *pair) lastLook() bool {
	if p.tx != nil && p.tx.rings() || p.rx != nil && p.rx.rings() || p.stopped.Load() {
		return true
	}
	if p.rx != nil && p.rx.listens() && p.set.Arm(p.cable.FD()) != nil {
		return true
	}
	return false
}

// until is when there is something to do in any case; zero: never.
func (p *pair) until() (t time.Time) {
	if p.rx != nil {
		t = p.rx.until.end
	}
	if p.tx != nil && p.tx.until.set() && (t.IsZero() || p.tx.until.end.Before(t)) {
		t = p.tx.until.end
	}
	return t
}
