package console

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly/virtio"
)

const (
	stallLimit = 2 * time.Second // how long a console waits for its reader
	closeLimit = 3 * time.Second
)

// output is what comes from a port of the guest.
type output struct {
	stats   *counters
	patient bool // nothing is ever lost for want of time
	// mustArrive: what doesn't arrive counts in Stats.Failed; a socket or a terminal
	// may have nobody there.
	mustArrive bool
	limit      uint64 // bytes that may still be taken, if limited
	limited    bool
	stalled    bool // that nobody takes the output was reported
	report     func(error)
	size       uint64       // of the whole output, for the message
	timer      virtio.Timer // of the queue's loop: when a console's output is lost

	mu        sync.Mutex
	ring      ring
	w         io.Writer     // nil: nobody is there
	queue     *virtio.Queue // to kick when there is room
	blocked   bool          // it has something that there is no room for
	full      bool          // the ring filled, and the host has taken nothing since
	progress  time.Time     // since when
	writing   time.Time     // since when a Write is under way; zero: none is
	err       error
	closed    bool
	abandoned bool      // what is in the ring is counted as lost
	more      sync.Cond // for the writer: bytes, another w, or the end
	done      chan struct{}
}

func (o *output) init(stats *counters, patient bool) {
	o.stats, o.patient = stats, patient
	o.more.L = &o.mu
	o.done = make(chan struct{})
}

// retry lets the queue try again when the timer's time is over.
func (o *output) retry() {
	if !o.timer.IsSet() || o.timer.Waits() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.blocked = false
}

func (o *output) unblock() {
	if o.blocked && o.queue != nil {
		o.queue.Wake()
	}
	o.blocked = false
}

// hasRoom tells whether a chain from the guest would be taken.
func (o *output) hasRoom() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.blocked
}

func (o *output) attach(q *virtio.Queue) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue, o.blocked = q, false
}

// connect sets where output goes; nil: what a console writes is discarded, other
// ports wait.
func (o *output) connect(w io.Writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w, o.err = w, nil
	o.more.Signal()
	o.unblock()
}

// setLimit lets the output grow from used to most bytes; 0: without limit. It comes
// before the first byte.
func (o *output) setLimit(most, used uint64) {
	if most != 0 {
		o.limited, o.size, o.limit = true, most, most-min(used, most)
	}
}

// lose counts bytes of the guest that went nowhere. mu is held.
func (o *output) lose(n int) {
	o.stats.lost.Add(uint64(n))
	if o.mustArrive {
		o.stats.failed.Add(uint64(n))
	}
}

// fail remembers and reports why the output ended. mu is held.
func (o *output) fail(err error) {
	if o.err != nil {
		return
	}
	o.err = err
	if o.mustArrive {
		o.report(err)
	}
}

// failed is the first error of the output, or else err.
func (o *output) failed(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	return o.err
}

// bound cuts what may be taken at the limit. mu is held.
func (o *output) bound(free []byte) []byte {
	if !o.limited {
		return free
	}
	return free[:min(uint64(len(free)), o.limit)]
}

// take copies the chain from off on, as much as there is room for, and returns how
// far it came.
func (o *output) take(v virtio.Vec, off int, seen func([]byte)) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	size := v.Len()
	if o.closed || o.err != nil || o.w == nil && !o.patient {
		o.lose(size - off)
		return size
	}
	taken := 0
	for off < size {
		free := o.ring.free()
		if len(free) == 0 {
			break
		}
		if free = o.bound(free); len(free) == 0 {
			o.fail(fmt.Errorf("the guest's output reached its limit of %d bytes, the rest is discarded", o.size))
			o.lose(size - off)
			off = size
			break
		}
		n := v.CopyOut(free, off)
		o.limit -= uint64(n)
		if seen != nil {
			seen(free[:n])
		}
		o.ring.n, off, taken = o.ring.n+n, off+n, taken+n
	}
	if taken > 0 {
		o.stats.fromGuest.Add(uint64(taken))
		o.more.Signal()
	}
	if off == size {
		return off
	}
	now := time.Now()
	if !o.full {
		o.full, o.progress = true, now
	}
	if left := stallLimit - now.Sub(o.progress); o.patient || left > 0 {
		o.blocked = true
		if !o.patient {
			o.timer.Set(left + time.Millisecond)
		}
		return off
	}
	o.lose(size - off)
	if o.mustArrive && !o.stalled {
		o.stalled = true
		o.report(fmt.Errorf("nobody takes the guest's output for %v: what comes now is lost", stallLimit))
	}
	return size
}

// write is the goroutine that hands output to its host.
func (o *output) write() {
	defer close(o.done)
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for !o.closed && (o.ring.n == 0 || o.w == nil) {
			o.more.Wait()
		}
		if o.ring.n == 0 || o.w == nil {
			return
		}
		p, w := o.ring.piece(), o.w // the other side only writes behind it
		o.writing = time.Now()
		o.mu.Unlock()
		n, err := w.Write(p)
		o.mu.Lock()
		o.writing = time.Time{}
		if n < 0 || n > len(p) || n < len(p) && err == nil {
			n, err = 0, fmt.Errorf("its Write returned an impossible count, %d of %d: %w", n, len(p), os.ErrInvalid)
		}
		o.ring.drop(n)
		o.full, o.stalled = false, false
		if err != nil && w == o.w {
			o.fail(fmt.Errorf("the guest's output cannot be written, the rest is discarded: %w", err))
			o.lose(o.ring.n)
			o.ring.drop(o.ring.n)
		}
		o.unblock()
	}
}

// pending is how much of what must arrive was taken and neither written nor lost.
func (o *output) pending() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.mustArrive || o.abandoned {
		return 0
	}
	return uint64(o.ring.n)
}

// close waits for what is left until the deadline.
func (o *output) close(deadline time.Time) error {
	o.mu.Lock()
	o.closed = true
	o.more.Signal()
	if !o.writing.IsZero() && time.Since(o.writing) > stallLimit {
		deadline = time.Now() // it was waited for already
	}
	o.mu.Unlock()
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case <-o.done:
	case <-t.C:
		o.mu.Lock()
		defer o.mu.Unlock()
		left := o.ring.n
		o.lose(left)
		o.w = nil // a Write that fails later counts nothing again
		o.abandoned = true
		if o.err == nil {
			o.err = fmt.Errorf("nobody reads the output: %d bytes are lost", left)
		}
		return o.err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
