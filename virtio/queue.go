package virtio

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
	"github.com/mayfly-vm/mayfly/memory"
)

// Queue is a virtqueue of a running device, split or packed. It belongs to one
// goroutine; Wake alone may be called by others.
//
// A driver's mistake ends the queue: Pop finds nothing any more, and the device
// needs a reset.
type Queue struct {
	index     int
	size      uint16
	setup     QueueState // as the driver set it up; its indices are older than ring's
	mem       *memory.Map
	features  Feature
	ring      ring
	kick      *eventfd.FD
	woken     atomic.Bool // by Wake
	interrupt Interrupt
	fail      func(error)
	broken    bool
	asleep    bool // the driver was asked to ring
	reader    chainReader

	pushed   uint64        // chains
	notified atomic.Uint64 // chains that were pushed before the last Flush
	kicks    atomic.Uint64 // that Instance.Notify has brought
	idleFrom atomic.Uint64 // where nothing is done before the driver's next kick: 1 more than the kicks that came before; else 0

	stats QueueStats
}

// QueueStats counts what went through a queue since its device's start.
type QueueStats struct {
	Chains, Interrupts, Wakeups atomic.Uint64
}

// ring is one of the two formats.
type ring interface {
	// pop reads the next chain, if there is one.
	pop(r *chainReader, c *Chain) (bool, error)
	// unpop takes the last pop back.
	unpop(c *Chain)
	// push gives a chain back to the driver.
	push(c *Chain, written uint32)
	// pushAll gives several back so that the driver sees all of them or none.
	pushAll(c []*Chain, written []int)
	available() bool
	// notify asks the driver to ring, or not to. Asking is followed by a full barrier.
	notify(want bool)
	// interruptWanted tells whether the driver wants to hear of what was pushed
	// since the last call.
	interruptWanted() bool
	// save puts the indices into s.
	save(s *QueueState)
}

// Interrupt tells a driver that a queue has used buffers.
type Interrupt interface {
	Signal()
	// FD is an eventfd that does what Signal does, for a back end in the kernel.
	FD() int
}

// Index is the queue's number in its device.
func (q *Queue) Index() int { return q.index }

// Size is the number of descriptors of the ring. An honest driver has no more
// chains under way; one that lies can, so a device that keeps chains counts them.
func (q *Queue) Size() int { return int(q.size) }

// KickFD is the eventfd that the driver's kicks signal, for a back end in the kernel.
// It stays the queue's.
func (q *Queue) KickFD() int { return q.kick.FD() }

// Wake has the Loop that serves the queue call its Work soon. Any goroutine may call it,
// also after the session's end.
func (q *Queue) Wake() {
	q.woken.Store(true)
	q.kick.Signal()
}

// Interrupt is what Flush signals; for a back end in the kernel.
func (q *Queue) Interrupt() Interrupt { return q.interrupt }

// Stats are the queue's counters.
func (q *Queue) Stats() *QueueStats { return &q.stats }

// Pop takes the next chain that the driver made available. False: there is none.
func (q *Queue) Pop(c *Chain) bool {
	if q.broken {
		return false
	}
	ok, err := q.ring.pop(&q.reader, c)
	if err != nil {
		q.Fail(err)
		return false
	}
	if ok {
		q.stats.Chains.Add(1)
	}
	return ok
}

// Unpop puts back the chain that the last Pop took, as if it had not: for a
// device that finds that it can't serve it now. Several go back in turn, the last
// one first, if none that was popped behind them was pushed; else the driver gets
// one chain twice and another never.
func (q *Queue) Unpop(c *Chain) {
	q.ring.unpop(c)
	q.stats.Chains.Add(^uint64(0))
}

// Push gives a chain back; the device has written the first written bytes of
// c.In. Chains may come back in any order. The driver that polls sees it at once,
// one that sleeps with the next Flush.
func (q *Queue) Push(c *Chain, written int) {
	if !q.broken {
		q.ring.push(c, uint32(written))
		q.pushed++
	}
}

// PushAll is Push for chains that make up one answer: the driver sees all of them
// or none. written[i] belongs to c[i].
func (q *Queue) PushAll(c []*Chain, written []int) {
	if !q.broken && len(c) > 0 && len(c) == len(written) {
		q.ring.pushAll(c, written)
		q.pushed += uint64(len(c))
	}
}

// Flush interrupts the driver if it wants to hear of what was pushed since the
// last Flush.
func (q *Queue) Flush() {
	if !q.broken && q.ring.interruptWanted() {
		q.stats.Interrupts.Add(1)
		q.interrupt.Signal()
	}
	q.notified.Store(q.pushed)
}

// Available tells whether Pop would find a chain.
func (q *Queue) Available() bool { return !q.broken && q.ring.available() }

// EnableNotify asks the driver to ring for new chains. True: there are some
// already, for which it need not ring.
func (q *Queue) EnableNotify() bool {
	if q.broken {
		return false
	}
	q.asleep = true
	kicks := q.kicks.Load()
	q.ring.notify(true)
	if q.ring.available() {
		q.idleFrom.Store(0)
		return true
	}
	q.idleFrom.Store(kicks + 1)
	return false
}

// DisableNotify tells the driver that there is no need to ring.
func (q *Queue) DisableNotify() {
	if q.asleep && !q.broken {
		q.asleep = false
		q.idleFrom.Store(0)
		q.ring.notify(false)
	}
}

// Fail ends the queue because of what the driver did with it, or with a request
// that it cannot be answered in any other way: the device needs a reset.
func (q *Queue) Fail(err error) {
	if q.broken {
		return
	}
	q.broken = true
	q.fail(fmt.Errorf("queue %d: %w", q.index, err))
}

// State is the queue as a back end in the kernel or a snapshot takes it over:
// what the driver set up, and where device and driver stand.
func (q *Queue) State() QueueState {
	s := q.setup
	if q.ring != nil {
		q.ring.save(&s)
	}
	return s
}

// SetPosition tells the queue where a back end in the kernel stopped: the fields
// Avail and Used of s count.
func (q *Queue) SetPosition(s QueueState) error {
	q.setup.Avail, q.setup.Used = s.Avail, s.Used
	return q.attach()
}

// attach finds the ring in guest memory. If that fails, the queue stays what it was.
func (q *Queue) attach() error {
	open := newSplit
	if q.features.Has(FeatureRingPacked) {
		open = newPacked
	}
	r, err := open(q.mem, &q.setup, q.features)
	if err == nil {
		q.ring = r
	}
	return err
}

// area is the host memory behind one part of a ring.
func area(mem *memory.Map, name string, addr memory.Addr, size, align uint64) (unsafe.Pointer, error) {
	if uint64(addr)%align != 0 {
		return nil, fmt.Errorf("the %s at %#x is not aligned to %d bytes", name, addr, align)
	}
	p, err := mem.Slice(addr, size)
	if err != nil {
		return nil, fmt.Errorf("the %s: %w", name, err)
	}
	return unsafe.Pointer(unsafe.SliceData(p)), nil
}
