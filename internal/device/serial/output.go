package serial

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// How output is written. The guest's first byte after an idle window is written at
// once, by the vCPU's own goroutine: a write of one byte takes about a microsecond,
// less than waking another thread. It opens a window in which bytes are buffered,
// until a line ends, a chunk is full or the window ends; so a log costs one write a
// line, and a prompt appears within the window.
//
// The vCPU does not wait for the reader: a write that would block is left to another
// goroutine, the writer. When the ring buffer is nearly full, ready is false and the
// guest, which polls LSR or waits for an interrupt, stops by itself. Only a guest that
// writes all the same is stopped, in waitRoom. Once a reader has taken nothing for
// stallLimit, what doesn't fit is lost, until the reader takes something again.
const (
	ringSize   = 64 << 10
	highMark   = ringSize - 4*fifoSize // with this many bytes the transmitter is not empty
	lowMark    = ringSize - 4<<10      // when they have fallen to this, it is empty again
	chunkSize  = 4 << 10               // most bytes in one write; what a pipe takes whole
	window     = 4 * time.Millisecond
	roomWait   = time.Millisecond // longest stop of a vCPU in one access
	stallLimit = 2 * time.Second
	closeLimit = 3 * time.Second // how long close waits for a reader that takes nothing
	pollPeriod = 50 * time.Millisecond
)

type output struct {
	file    *file         // not nil: writes that never block
	w       io.Writer     // used when file is nil
	drained func()        // called without mu when ready becomes true again, but not by put
	kick    chan struct{} // wakes the writer
	room    chan struct{} // wakes a vCPU in waitRoom
	idle    chan struct{} // wakes close
	done    chan struct{} // closed when the writer has returned

	stallLimit, closeLimit time.Duration // the constants, but for tests

	full    atomic.Bool // above highMark, not yet below lowMark
	abandon atomic.Bool // the writer is to discard what is left

	mu       sync.Mutex
	ring     []byte
	head, n  int
	timer    *time.Timer
	open     bool // the window is
	busy     bool // the writer has work, and alone may write
	started  bool // the writer is there
	stalled  bool // the reader has taken nothing for stallLimit
	released bool // drained is to be called
	closed   bool
	progress time.Time // when the ring filled, or the reader last took some
	taken    uint64    // bytes that went out
	lost     uint64
	err      error

	limit, accepted uint64 // bytes in all; a limit of 0 is none
	report          func(error)
}

func newOutput(w io.Writer, drained func()) *output {
	o := &output{
		w: w, drained: drained, stallLimit: stallLimit, closeLimit: closeLimit,
		kick: make(chan struct{}, 1), room: make(chan struct{}, 1),
		idle: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if w == nil {
		o.closed = true // discards everything
		return o
	}
	o.ring = make([]byte, ringSize)
	if f, ok := w.(*os.File); ok {
		o.file = openFile(f)
	}
	return o
}

// ready reports whether the transmitter is empty.
func (o *output) ready() bool { return !o.full.Load() }

// put takes one byte. It returns false when there is no room and the caller
// should waitRoom.
func (o *output) put(b byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true
	}
	if o.err == nil && o.limit != 0 && o.accepted == o.limit {
		o.end(fmt.Errorf("the guest's output reached its limit of %d bytes, the rest is discarded", o.limit))
	}
	if o.err != nil {
		o.lost++
		return true
	}
	if o.n == len(o.ring) {
		if !o.stalled {
			return false
		}
		o.lost++
		return true
	}
	o.ring[(o.head+o.n)%len(o.ring)] = b
	o.n++
	o.accepted++
	if o.n >= highMark && !o.stalled && !o.full.Load() {
		o.progress = time.Now()
		o.full.Store(true)
	}
	switch {
	case !o.open:
		o.flush()
		o.open = true
		if o.timer == nil {
			o.timer = time.AfterFunc(window, o.tick)
		} else {
			o.timer.Reset(window)
		}
	case b == '\n' || o.n >= chunkSize:
		o.flush()
	}
	return true
}

// tick ends the window, or opens the next one when bytes had gathered in it.
func (o *output) tick() {
	o.mu.Lock()
	o.open = false
	if o.n > 0 && !o.busy && !o.closed {
		o.flush()
		o.open = true
		o.timer.Reset(window)
	}
	o.unlockAndNotify()
}

// flush writes what is there, or has the writer do it. mu is held.
func (o *output) flush() {
	if o.busy || o.n == 0 {
		return
	}
	if o.file == nil {
		o.wakeWriter()
		return
	}
	for o.n > 0 {
		n, err := o.file.try(o.chunk())
		o.consume(n)
		if err == errWouldBlock {
			o.wakeWriter()
			return
		}
		if err != nil {
			o.fail(err)
			return
		}
	}
}

func (o *output) wakeWriter() {
	if !o.started {
		o.started = true
		go o.writer()
	}
	o.busy = true
	o.kick <- struct{}{} // never blocks: busy lets only one in
}

// chunk returns the oldest bytes that lie in one piece.
func (o *output) chunk() []byte {
	return o.ring[o.head:min(o.head+min(o.n, chunkSize), len(o.ring))]
}

// consume removes n bytes that went out. mu is held.
func (o *output) consume(n int) {
	if n <= 0 {
		return
	}
	o.head = (o.head + n) % len(o.ring)
	o.n -= n
	o.taken += uint64(n)
	if o.n == 0 {
		o.head = 0 // so that a quiet guest touches one page of the ring
	}
	o.stalled = false
	if o.full.Load() {
		o.progress = time.Now()
		if o.n <= lowMark {
			o.release()
		}
	}
}

// release lets the guest write again. mu is held.
func (o *output) release() {
	o.released = o.released || o.full.Load()
	o.full.Store(false)
	select {
	case o.room <- struct{}{}:
	default:
	}
}

// unlockAndNotify unlocks mu, and calls drained if ready has become true.
func (o *output) unlockAndNotify() {
	released := o.released
	o.released = false
	o.mu.Unlock()
	if released {
		o.drained()
	}
}

// fail remembers why the output ended; from now on it is discarded. mu is held.
func (o *output) fail(err error) {
	o.end(fmt.Errorf("the guest's output cannot be written, the rest is discarded: %w", err))
	o.lost += uint64(o.n)
	o.head, o.n = 0, 0
	o.release()
}

// end remembers and reports why output is lost from now on. mu is held.
func (o *output) end(err error) {
	if o.err != nil {
		return
	}
	o.err = fmt.Errorf("serial: %w", err)
	if o.report != nil {
		o.report(o.err)
	}
}

// writer writes what would have blocked a vCPU.
func (o *output) writer() {
	defer close(o.done)
	for range o.kick {
		o.mu.Lock()
		for o.n > 0 && !o.abandon.Load() {
			p := o.chunk() // put writes after it only
			o.mu.Unlock()
			n, err := o.write(p)
			o.mu.Lock()
			o.consume(n)
			if err != nil && !o.abandon.Load() { // close has counted what is left
				o.fail(err)
			}
			o.unlockAndNotify()
			o.mu.Lock()
		}
		o.busy = false
		o.mu.Unlock()
		select {
		case o.idle <- struct{}{}:
		default:
		}
	}
}

// write waits until the reader takes something of p.
func (o *output) write(p []byte) (int, error) {
	if o.file == nil {
		n, err := o.w.Write(p)
		if n < 0 || n > len(p) {
			n, err = 0, errors.New("its Write returned an impossible count")
		}
		if n < len(p) && err == nil {
			err = io.ErrShortWrite
		}
		return n, err
	}
	for !o.abandon.Load() {
		n, err := o.file.try(p)
		if err != errWouldBlock {
			return n, err
		}
		o.file.wait(pollPeriod)
	}
	return 0, nil
}

// waitRoom waits up to roomWait for the reader to take something. When it has taken
// nothing for stallLimit, what does not fit is discarded from then on.
func (o *output) waitRoom() {
	t := time.NewTimer(roomWait)
	defer t.Stop()
	select {
	case <-o.room:
	case <-t.C:
	}
	o.mu.Lock()
	if o.full.Load() && time.Since(o.progress) > o.stallLimit {
		o.stalled = true
		o.release()
	}
	o.unlockAndNotify()
}

func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *output) lostBytes() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lost
}

// undelivered does not wait long for mu, whose holder may be in a write that blocks.
func (o *output) undelivered() (n uint64, known bool) {
	for range 10 {
		if !o.mu.TryLock() {
			time.Sleep(time.Millisecond)
			continue
		}
		defer o.mu.Unlock()
		if n = o.lost; !o.abandon.Load() { // then it counts what is in the ring
			n += uint64(o.n)
		}
		return n, true
	}
	return 0, false
}

// close flushes and ends everything. It waits until limit has passed, if patient
// since the reader last took something. Only the first call has an effect.
func (o *output) close(limit time.Duration, patient bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return o.err
	}
	o.closed = true
	if o.timer != nil {
		o.timer.Stop()
	}
	o.flush()
	deadline := time.Now().Add(limit)
	for before := o.taken; o.busy; before = o.taken {
		o.mu.Unlock()
		timer := time.NewTimer(time.Until(deadline))
		select {
		case <-o.idle: // perhaps an old one: busy decides
		case <-timer.C:
		}
		timer.Stop()
		o.mu.Lock()
		if now := time.Now(); patient && o.taken != before {
			deadline = now.Add(limit)
		} else if o.busy && !now.Before(deadline) {
			o.lost += uint64(o.n)
			o.err = fmt.Errorf("serial: the last %d bytes of the guest's output were lost: nobody took them for %v", o.n, limit)
			o.abandon.Store(true)
			break
		}
	}
	o.release()
	if o.started {
		close(o.kick)
		// A foreign Writer that never returns can't be waited for.
		if o.file != nil || !o.busy {
			o.mu.Unlock()
			<-o.done
			o.mu.Lock()
		}
	}
	if o.file != nil {
		// Some file systems report a failed write only now.
		if err := o.file.close(); err != nil {
			o.end(fmt.Errorf("the guest's output may not have been written: %w", err))
		}
	}
	return o.err
}
