package vnet

import (
	"encoding/binary"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// streamBatch is the most frames that one sendmsg takes.
const streamBatch = 32

// streamSender writes frames to a stream from the driver's buffers, several with
// one call. A far end that doesn't read makes the driver wait: nothing piles up
// here but the batch that was begun.
type streamSender struct {
	d       *Device
	s       *stream
	q       *virtio.Queue
	loop    *virtio.Loop
	limit   *ratelimit.Limiter
	limited bool
	pause   virtio.Timer // of the limit

	link   *link // that the loop knows
	begun  bool  // a batch waits for room
	chains [streamBatch]virtio.Chain
	length [streamBatch][lengthSize]byte
	ends   [streamBatch]int // bytes of all frames up to this one
	n      int              // frames
	iov    []unix.Iovec
	at     int // pieces that are sent
	sent   int // bytes that are

	errno syscall.Errno
	try   func(uintptr) bool
	msg   unix.Msghdr
}

func startStreamSender(d *Device, s *virtio.Session, q *virtio.Queue) (*streamSender, error) {
	t := &streamSender{d: d, s: d.stream, q: q, iov: make([]unix.Iovec, 0, maxIov), limit: d.tx, limited: limits(d.config.TX)}
	t.try = t.write
	var err error
	t.loop, err = s.NewLoop(virtio.LoopConfig{Queues: []*virtio.Queue{q}, Work: t.work, Idle: t.idle, End: t.end, Spin: d.spin,
		Spinner: t.spinner, Timers: []*virtio.Timer{&t.pause}, Descriptor: true})
	if err != nil {
		return nil, err
	}
	t.s.setSender(t.loop)
	t.loop.Run()
	return t, nil
}

func (t *streamSender) quit() { t.loop.Quit() }

func (t *streamSender) join() {
	t.loop.Stop()
	t.s.setSender(nil)
}

// end puts back what is not sent.
func (t *streamSender) end() {
	if t.begun {
		t.interrupted()
	}
	t.q.Flush()
}

// work sends a batch and reports whether there was any.
func (t *streamSender) work() bool {
	if t.pause.Waits() {
		return false
	}
	l := t.s.current()
	lost := l == nil || t.begun && l != t.link
	if l != t.link {
		if t.link = l; l != nil && l.watch(t.loop) != nil {
			lost = true // closed since
		}
	}
	if !t.begun && !t.gather() {
		return false
	}
	switch {
	case len(t.iov) == 0: // what was no frame
		t.q.Flush()
	case lost || !t.begun && !t.d.linkUp():
		t.drop(0)
	case !t.send(l):
		return false
	}
	runtime.Gosched() // a processor that came back from its guest may wait for this thread
	return true
}

// spinner chooses to sleep at once where polling finds nothing.
func (t *streamSender) spinner(own *virtio.Spinner) *virtio.Spinner {
	if t.begun || t.pause.IsSet() {
		return nil
	}
	return own
}

// idle asks for what is to wake the goroutine: room, frames, or a timer alone.
func (t *streamSender) idle() bool {
	switch {
	case t.pause.IsSet():
		return false
	case t.begun:
		t.loop.Await(t.link.fd, unix.EPOLLOUT)
		return false
	}
	return t.q.EnableNotify()
}

// gather pops frames and lines them up; what a Stop has left goes first, alone.
// It tells whether it did anything.
func (t *streamSender) gather() bool {
	t.iov, t.at, t.sent, t.n = t.iov[:0], 0, 0, 0
	if rest := t.s.takeRest(); len(rest) > 0 {
		t.iov = append(t.iov, pieceOf(rest))
		return true
	}
	total := 0
	for t.n < streamBatch && len(t.iov) < maxIov/2 && total < batchBytes {
		c := &t.chains[t.n]
		if !t.q.Pop(c) {
			break
		}
		n, ok := frameLen(c)
		if !ok {
			if t.n > 0 {
				t.q.Unpop(c) // after those before it
				break
			}
			t.d.stats.txDropped.Add(1)
			t.q.Push(c, 0)
			return true
		}
		if t.limited && !t.limit.Take(uint64(n)) {
			t.q.Unpop(c)
			if t.n == 0 {
				t.d.stats.throttled.Add(1)
				t.pause.Set(t.limit.Wait())
			}
			break
		}
		h := &t.length[t.n]
		binary.BigEndian.PutUint32(h[:], uint32(n))
		t.iov = append(t.iov, pieceOf(h[:]))
		t.iov = c.Out.Cut(t.iov, headerSize, n)
		total += lengthSize + n
		t.ends[t.n] = total
		t.n++
	}
	return t.n > 0
}

// write sends what it can without waiting. The connection keeps the descriptor from
// being closed meanwhile.
func (t *streamSender) write(fd uintptr) bool {
	for t.at < len(t.iov) {
		piece := t.iov[t.at:min(len(t.iov), t.at+maxIov)]
		t.msg = unix.Msghdr{Iov: unsafe.SliceData(piece), Iovlen: uint64(len(piece))}
		n, _, e := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&t.msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch e {
		case 0:
			t.advance(int(n))
		case unix.EINTR:
		default:
			t.errno = e
			return true
		}
	}
	return true
}

// advance skips n bytes that were sent.
func (t *streamSender) advance(n int) {
	t.sent += n
	for n > 0 {
		v := &t.iov[t.at]
		if uint64(n) < v.Len {
			v.Base = (*byte)(unsafe.Add(unsafe.Pointer(v.Base), n))
			v.Len -= uint64(n)
			return
		}
		n -= int(v.Len)
		t.at++
	}
}

// send sends what there is room for of the batch. False: the rest waits.
func (t *streamSender) send(l *link) bool {
	t.errno = 0
	err := l.conn.Write(t.try)
	if err == nil && t.errno == unix.EAGAIN {
		t.begun = true
		t.d.stats.txStalls.Add(1)
		return false
	}
	whole, _ := t.count()
	if err != nil || t.errno != 0 { // broken: the receiver finds out and says so
		t.drop(whole)
		return true
	}
	t.finish(t.n)
	return true
}

// count counts the frames that are sent, and is where the next began in the batch.
func (t *streamSender) count() (whole, start int) {
	for whole < t.n && t.ends[whole] <= t.sent {
		start = t.ends[whole]
		whole++
	}
	t.d.stats.txFrames.Add(uint64(whole))
	t.d.stats.txBytes.Add(uint64(start - whole*lengthSize))
	return whole, start
}

// drop ends a batch of which a number of frames was sent and no more will be.
func (t *streamSender) drop(sent int) {
	t.d.stats.txDropped.Add(uint64(t.n - sent))
	t.finish(t.n)
}

// interrupted puts back what a Stop kept from being sent; the rest of a frame that
// was begun is kept for the next Start.
func (t *streamSender) interrupted() {
	whole, start := t.count()
	begun := whole
	switch {
	case t.n == 0 && t.at < len(t.iov): // all there is is such a rest
		t.keep(int(t.iov[t.at].Len))
	case whole < t.n && t.sent > start:
		t.keep(t.ends[whole] - t.sent)
		begun++
		t.d.stats.txFrames.Add(1)
	}
	for i := t.n - 1; i >= begun; i-- {
		t.q.Unpop(&t.chains[i])
	}
	t.finish(begun)
}

// keep keeps the next n bytes.
func (t *streamSender) keep(n int) {
	rest := make([]byte, 0, n)
	for _, v := range t.iov[t.at:] {
		take := min(n, int(v.Len))
		rest = append(rest, unsafe.Slice(v.Base, take)...)
		if n -= take; n == 0 {
			break
		}
	}
	t.s.keepRest(rest)
}

// finish gives the first n chains back.
func (t *streamSender) finish(n int) {
	for i := range n {
		t.q.Push(&t.chains[i], 0)
	}
	t.n, t.begun = 0, false
	t.q.Flush()
}

func (s *stream) takeRest() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.rest
	s.rest = nil
	return rest
}

func (s *stream) keepRest(rest []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		s.rest = rest
	}
}
