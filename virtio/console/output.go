package console

import (
	"fmt"
	"io"
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
	patient bool // nothing is ever lost

	mu       sync.Mutex
	ring     ring
	w        io.Writer     // nil: nobody is there
	queue    *virtio.Queue // whose bell to ring when there is room
	blocked  bool          // it has something that there is no room for
	full     bool          // the ring filled, and the host has taken nothing since
	progress time.Time     // since when
	timer    *time.Timer
	err      error
	closed   bool
	more     sync.Cond // for the writer: bytes, another w, or the end
	done     chan struct{}
}

func (o *output) init(stats *counters, patient bool) {
	o.stats, o.patient = stats, patient
	o.more.L = &o.mu
	o.done = make(chan struct{})
	o.timer = time.AfterFunc(time.Hour, o.retry)
	o.timer.Stop()
}

// retry lets the queue try again.
func (o *output) retry() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unblock()
}

func (o *output) unblock() {
	if o.blocked && o.queue != nil {
		o.queue.Bell().Signal()
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

// take copies the chain from off on, as much as there is room for, and returns how
// far it came.
func (o *output) take(v virtio.Vec, off int, seen func([]byte)) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	size := v.Len()
	if o.closed || o.err != nil || o.w == nil && !o.patient {
		o.stats.lost.Add(uint64(size - off))
		return size
	}
	begin := off
	for off < size {
		free := o.ring.free()
		if len(free) == 0 {
			break
		}
		n := v.CopyOut(free, off)
		if seen != nil {
			seen(free[:n])
		}
		o.ring.n, off = o.ring.n+n, off+n
	}
	if off > begin {
		o.stats.fromGuest.Add(uint64(off - begin))
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
			o.timer.Reset(left + time.Millisecond)
		}
		return off
	}
	o.stats.lost.Add(uint64(size - off))
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
		o.mu.Unlock()
		n, err := w.Write(p)
		o.mu.Lock()
		if n < 0 || n > len(p) || n < len(p) && err == nil {
			n, err = 0, errShort
		}
		o.ring.drop(n)
		o.full = false
		if err != nil && w == o.w {
			o.err = fmt.Errorf("the guest's output can't be written and is discarded from now on: %w", err)
			o.ring.drop(o.ring.n)
		}
		o.unblock()
	}
}

// close waits for what is left until the deadline.
func (o *output) close(deadline time.Time) error {
	o.mu.Lock()
	o.closed = true
	o.more.Signal()
	o.mu.Unlock()
	o.timer.Stop()
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case <-o.done:
	case <-t.C:
		return fmt.Errorf("nobody reads the output: %d bytes are lost", o.left())
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *output) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ring.n
}
