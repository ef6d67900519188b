package blk

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/virtio"
)

// batch is the most requests that are taken before the driver is told of those
// that are done.
const batch = 64

// diskLook is how long a worker looks for completions, at most: what a read of a
// solid-state disk takes, behind a hypervisor too.
const diskLook = 2 * virtio.Spin

// long is how many bytes of a transfer are more than any driver asks for at once:
// Linux has 4 MiB at most. Such a request is begun when no other is under way, and
// moved in pieces of this size. A guest may point thousands of buffers to one place,
// and a ring full of requests of 4 GiB each would keep a stop waiting for minutes.
const long = 4 << 20

// haltPoll is how often a worker that waits for the end of transfers checks whether
// the machine has ended meanwhile.
const haltPoll = 10 * time.Millisecond

// worker serves one queue. All but ring bell belongs to the queue's goroutine.
type worker struct {
	d       *Device
	session *virtio.Session
	queue   *virtio.Queue
	serving *virtio.Worker

	image    disk.Image
	file     *disk.File // nil: only the image knows how
	cache    Cache
	readOnly bool

	requests []*request // as many as were ever under way at once
	free     []*request
	flight   int  // requests that the engines have
	clearing bool // one of them is a discard or write-zeroes
	tally    tally

	ring   *ring // nil until something has to wait for a disk
	pool   *pool // nil until something has to wait for a thread
	noRing bool
	armed  bool  // the threads ring the bell
	held   joint // reads for the page cache; nothing is held outside work
	look   virtio.Spinner
	mute   bool // guest memory is not to be touched any more
	behind bool // the next request is long, and waits for those under way

	halting atomic.Bool // nothing more is to be begun

	pace  pace
	alarm alarm
}

func newWorker(d *Device, s *virtio.Session, q *virtio.Queue) *worker {
	w := &worker{d: d, session: s, queue: q, image: d.image, file: d.image.File(), cache: d.config.Cache, readOnly: d.config.ReadOnly}
	w.noRing = d.config.Engine == Threads || w.file == nil
	if runtime.NumCPU() > 1 {
		w.look = virtio.NewSpinner(diskLook)
	}
	w.alarm.bell = q.Bell().Signal
	return w
}

func (w *worker) serve() { w.serving = w.session.Serve(w.queue, w.work) }

// stop ends the goroutine. What is under way is finished or, if nobody waits for it
// any more, abandoned where that can be done.
func (w *worker) stop() {
	w.halting.Store(true)
	w.serving.Stop()
	w.alarm.close()
	w.session.Guard(w.drain)
	// What a fault kept from its end goes on in the kernel, which writes to guest
	// memory: that too must end here.
	w.mute = true
	w.session.Guard(w.drain)
	if w.ring != nil {
		w.ring.close()
	}
	if w.pool != nil {
		w.pool.close()
	}
	w.d.stats.add(&w.tally)
}

func (w *worker) drain() {
	for cancelled := false; w.flight > 0; {
		if w.ring != nil && w.ring.flight > 0 {
			if !cancelled && w.session.Halted() {
				cancelled = w.ring.cancel()
			}
			w.ring.waitFor(haltPoll)
		} else if w.pool != nil {
			w.pool.wait()
		}
		w.reap()
		if !w.mute {
			w.queue.Flush()
		}
	}
}

// work takes what the driver has made available and what the engines have done.
func (w *worker) work() bool {
	busy := w.reap()
	w.behind = false
	held, full := false, false
	for range batch {
		if w.halting.Load() {
			break
		}
		r := w.take()
		if r == nil {
			full = true
			break
		}
		if !w.queue.Pop(&r.chain) {
			w.give(r)
			break
		}
		busy = true
		if held = !w.begin(r); held {
			break
		}
	}
	w.readHeld()
	// What is done already makes room: no sleep before another look.
	more := w.ring != nil && w.ring.submit() && w.reap()
	w.queue.Flush()
	w.d.stats.add(&w.tally)
	switch {
	case w.behind && w.flight == 0:
		return true
	case !more && (held || full && len(w.free) == 0):
		return w.sleep(false)
	case busy, more, full: // what filled it may be done by now: then nothing would ring
		w.arm(false)
		w.look.Worked()
		return true
	case w.flight == 0:
		return false
	case w.look.More():
		return true // the disk is looked at for a while before it must wake us
	}
	return w.sleep(true)
}

// sleep waits until an engine has done something, or the bell rings. The driver is
// asked to ring unless chains were left in its ring, for want of room or of
// tokens: then that would tell nothing new.
func (w *worker) sleep(ask bool) bool {
	w.arm(true)
	switch {
	case w.reap():
		w.queue.Flush()
	case ask && w.queue.EnableNotify():
		w.queue.DisableNotify()
	case w.ring != nil && w.ring.flight > 0:
		w.ring.sleep()
		w.queue.DisableNotify()
	default:
		if w.queue.Bell().Wait() != nil {
			return false
		}
		w.queue.DisableNotify()
	}
	return true
}

func (w *worker) arm(on bool) {
	if w.armed == on {
		return
	}
	w.armed = on
	if w.pool != nil {
		w.pool.arm(on)
	}
}

// take is a free request; nil when the driver has more under way than its ring
// has room for.
func (w *worker) take() *request {
	if n := len(w.free); n > 0 {
		r := w.free[n-1]
		w.free = w.free[:n-1]
		return r
	}
	if len(w.requests) == w.queue.Size() {
		return nil
	}
	r := &request{index: uint32(len(w.requests))}
	w.requests = append(w.requests, r)
	return r
}

func (w *worker) give(r *request) { w.free = append(w.free, r) }

// reap finishes what the engines have done and tells whether that was anything.
func (w *worker) reap() bool {
	any := false
	if w.ring != nil {
		for {
			i, res, ok := w.ring.next()
			if !ok {
				break
			}
			any = true
			w.completeAll(w.requests[i], int(max(res, 0)), errno(res))
		}
	}
	if w.pool != nil {
		for {
			o, ok := w.pool.next()
			if !ok {
				break
			}
			any = true
			w.flight--
			w.complete(w.requests[o.index], o.n, o.err, false)
		}
	}
	return any
}

// errno is the error in an answer of the kernel's.
func errno(res int32) error {
	if res >= 0 {
		return nil
	}
	return syscall.Errno(-res)
}

// alarm rings the bell when the limits let the next request through.
type alarm struct {
	bell  func()
	timer *time.Timer

	mu     sync.Mutex
	closed bool // the bell may be another's
}

func (a *alarm) set(d time.Duration) {
	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.ring)
		return
	}
	a.timer.Reset(d)
}

func (a *alarm) ring() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.bell()
	}
}

func (a *alarm) close() {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
}
