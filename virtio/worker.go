package virtio

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Worker is the goroutine that serves a queue.
type Worker struct {
	session *Session
	queue   *Queue
	work    func() bool
	wants   func() bool // nil: always
	spin    time.Duration
	stop    atomic.Bool
	done    chan struct{}
}

// Spin is how long a Worker that has just worked looks for more before it asks
// the driver to ring and sleeps. A ring costs the guest an exit and the host a
// wake-up, each a few microseconds on bare hardware and tens of them when nested.
const Spin = 50 * time.Microsecond

// Serve runs work in a goroutine of its own: first once, then whenever the driver
// rings for q or somebody signals q.Bell. work takes what it finds, pushes what is done, flushes, and
// tells whether there was anything to do: if so it is called again soon. While it
// is called, and for a moment after, the driver is asked not to ring.
//
// The Worker ends with Stop, or when work panics.
func (s *Session) Serve(q *Queue, work func() bool) *Worker { return s.ServeWhile(q, work, nil) }

// ServeWhile is Serve for a queue whose chains may have to wait: buffers for what
// has not come yet, requests beyond a limit. wants tells, when work found nothing
// to do, whether a chain would change that. If not, the goroutine sleeps although
// there are chains, and until somebody signals q.Bell the driver need not ring.
func (s *Session) ServeWhile(q *Queue, work, wants func() bool) *Worker {
	w := &Worker{session: s, queue: q, work: work, wants: wants, done: make(chan struct{})}
	if runtime.NumCPU() > 1 { // with one, spinning takes the time of who has the work
		w.spin = Spin
	}
	go func() {
		defer close(w.done)
		s.Guard(w.run)
	}()
	return w
}

func (w *Worker) run() {
	q := w.queue
	q.DisableNotify()
	var idle time.Time // since when there is nothing to do; zero: there is
	for !w.stop.Load() {
		if w.work() {
			idle = time.Time{}
			continue
		}
		if w.spin > 0 {
			if now := time.Now(); idle.IsZero() {
				idle = now
				continue
			} else if now.Sub(idle) < w.spin {
				continue
			}
		}
		if (w.wants == nil || w.wants()) && q.EnableNotify() {
			q.DisableNotify()
			continue
		}
		if w.stop.Load() || q.bell.Wait() != nil {
			return
		}
		q.stats.Wakeups.Add(1)
		q.DisableNotify()
	}
}

// Stop ends the goroutine and returns when it has ended. Not to be called from
// work.
func (w *Worker) Stop() {
	w.stop.Store(true)
	w.queue.bell.Signal()
	<-w.done
}
