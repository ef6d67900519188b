package vnet

import (
	"runtime"

	"golang.org/x/sys/unix"

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
	cable *tap.Queue
	rx    *tapReceiver // nil where the driver has set up no such queue
	tx    *tapSender   // likewise
	loop  *virtio.Loop
}

// startPair serves the queues that the driver has set up: at least one.
func startPair(d *Device, s *virtio.Session, cable *tap.Queue, rx, tx *virtio.Queue) (*pair, error) {
	p := &pair{cable: cable}
	c := virtio.LoopConfig{Work: p.work, Idle: p.idle, Spin: d.spin, End: p.end, Descriptor: true}
	if tx != nil {
		p.tx = newTapSender(d, cable, tx)
		c.Queues, c.Timers = append(c.Queues, tx), append(c.Timers, &p.tx.until)
	}
	if rx != nil {
		p.rx = newTapReceiver(d, cable, rx, s.Features.Has(FeatureMergeable))
		c.Queues, c.Timers = append(c.Queues, rx), append(c.Timers, &p.rx.until)
		c.Descriptors = []int{cable.FD()}
	}
	var err error
	if p.loop, err = s.NewLoop(c); err != nil {
		return nil, err
	}
	p.loop.Run()
	return p, nil
}

func (p *pair) quit() { p.loop.Quit() }

func (p *pair) join() {
	p.loop.Stop()
	if p.rx != nil {
		p.rx.win.restore()
	}
}

func (p *pair) end() {
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
	if n > 0 {
		runtime.Gosched() // a processor that came back from its guest may wait for this thread
	}
	return n > 0
}

// idle asks for what is to wake the goroutine, and tells whether there is work
// already.
func (p *pair) idle() bool {
	if p.tx != nil && p.tx.rings() || p.rx != nil && p.rx.rings() {
		return true
	}
	if p.rx != nil && p.rx.listens() {
		p.loop.Await(p.cable.FD(), unix.EPOLLIN)
	}
	return false
}
