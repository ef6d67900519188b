package blk

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/internal/sys/uring"
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

// worker serves one queue. All but halting belongs to the queue's loop.
type worker struct {
	d       *Device
	session *virtio.Session
	queue   *virtio.Queue
	loop    *virtio.Loop

	image    disk.Image
	file     *disk.File // nil: only the image knows how
	cache    Cache
	readOnly bool

	requests []*request // as many as were ever under way at once
	free     []*request
	flight   int  // requests that the engines have
	clearing bool // one of them is a discard or write-zeroes
	tally    tally

	uring  *uring.Ring // the device's for this queue; nil: none
	ring   *ring       // nil until something has to wait for a disk
	pool   *pool       // nil until something has to wait for a thread
	noRing bool
	armed  bool  // the threads wake the loop
	held   joint // reads for the page cache; nothing is held outside work
	look   virtio.Spinner
	mute   bool // guest memory is not to be touched any more
	behind bool // the next request is long, and waits for those under way
	full   bool // chains were left in the ring, for want of room or of tokens

	halting atomic.Bool // nothing more is to be begun

	pace    pace
	limited virtio.Timer // when the limits let the next request through
}

func newWorker(d *Device, s *virtio.Session, q *virtio.Queue, u *uring.Ring) *worker {
	w := &worker{d: d, session: s, queue: q, image: d.image, file: d.image.File(), cache: d.config.Cache, readOnly: d.config.ReadOnly}
	w.uring = u
	w.noRing = d.config.Engine == Threads || w.file == nil || u == nil
	if runtime.NumCPU() > 1 {
		w.look = virtio.NewSpinner(diskLook)
	}
	return w
}

func (w *worker) serve() error {
	l, err := w.session.NewLoop(virtio.LoopConfig{Queues: []*virtio.Queue{w.queue}, Work: w.work, Idle: w.idle,
		Spinner: w.spinner, Timers: []*virtio.Timer{&w.limited}})
	if err == nil {
		w.loop = l
		l.Run()
	}
	return err
}

// stop ends the goroutine. What is under way is finished or, if nobody waits for it
// any more, abandoned where that can be done.
func (w *worker) stop() {
	w.halting.Store(true)
	w.loop.Stop()
	w.session.Guard(w.drain)
	// What a fault kept from its end goes on in the kernel, which writes to guest
	// memory: that too must end here.
	w.mute = true
	w.session.Guard(w.drain)
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
	w.limited.Stop()
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
	w.full = !more && (held || full && len(w.free) == 0)
	switch {
	case w.behind && w.flight == 0:
		return true
	case w.full:
		return false
	case busy, more, full: // what filled it may be done by now: then nothing would wake us
		w.arm(false)
		return true
	}
	return false
}

// spinner chooses how long to poll: the disk, before it must wake us, or the driver.
func (w *worker) spinner(own *virtio.Spinner) *virtio.Spinner {
	switch {
	case w.full:
		return nil
	case w.flight > 0:
		return &w.look
	}
	return own
}

// idle asks for what ends the sleep: the engines, the timer and the driver. The driver
// is not asked to kick where chains were left in its ring: that would tell nothing new.
func (w *worker) idle() bool {
	w.arm(true)
	if w.reap() {
		w.queue.Flush()
		return true
	}
	if !w.full && w.queue.EnableNotify() {
		return true
	}
	if w.ring != nil && w.ring.flight > 0 {
		// A request to the ring to poll the kicks would spare a call, but be answered
		// through the thread that made it, whatever that does by then.
		w.ring.submit()
		w.loop.Block(w.ring.u.FD())
	}
	return false
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
