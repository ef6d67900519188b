package virtio

import (
	"runtime"
	"sync/atomic"
)

// Worker is the goroutine that serves a queue.
type Worker struct {
	session *Session
	queue   *Queue
	work    func() bool
	wants   func() bool // nil: always
	spin    Spinner
	stop    atomic.Bool
	done    chan struct{}
}

// Serve runs work in a goroutine of its own: first once, then whenever the driver
// rings for q or somebody signals q.Bell. work takes what it finds, pushes what is
// done, flushes, and tells whether there was anything to do: if so it is called
// again soon. While it is called, and for a moment after (see Spin), the driver is
// asked not to ring.
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
		w.spin = NewSpinner(Spin)
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
	for !w.stop.Load() {
		if w.work() {
			w.spin.Worked()
			continue
		}
		if w.spin.More() {
			continue
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
