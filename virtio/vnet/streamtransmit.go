package vnet

import (
	"encoding/binary"
	"errors"
	"os"
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
// here but the frame that was begun.
type streamSender struct {
	pump
	limit   *ratelimit.Limiter
	limited bool
	s       *stream
	chains  [streamBatch]virtio.Chain
	length  [streamBatch][lengthSize]byte
	ends    [streamBatch]int // bytes of all frames up to this one
	n       int              // frames
	moved   int              // frames of the last batch
	iov     []unix.Iovec
	at      int // pieces that are sent
	sent    int // bytes that are

	errno syscall.Errno
	try   func(uintptr) bool
	msg   unix.Msghdr
}

func newStreamSender(d *Device, s *stream) *streamSender {
	w := &streamSender{s: s, iov: make([]unix.Iovec, 0, maxIov), limit: d.tx, limited: limits(d.config.TX)}
	w.try = w.write
	return w
}

func (t *streamSender) run() {
	t.q.DisableNotify()
	for !t.stopped.Load() {
		if t.work() {
			t.busy(max(t.moved, 1))
			runtime.Gosched()
			continue
		}
		if t.spin() {
			continue
		}
		t.sleep()
	}
	t.q.Flush()
}

// work takes a batch and tells whether there was any.
func (t *streamSender) work() bool {
	did := t.gather()
	t.moved = t.n
	if len(t.iov) == 0 {
		if did {
			t.q.Flush()
		}
		return did
	}
	l := t.s.current()
	if l == nil || !t.d.linkUp() {
		t.d.stats.txDropped.Add(uint64(t.n))
		t.finish(t.n)
		return true
	}
	t.send(l)
	return true
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
				t.nap(t.limit.Wait())
				return true
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

// write sends what it can. True: all is sent, or it failed.
func (t *streamSender) write(fd uintptr) bool {
	for t.at < len(t.iov) {
		piece := t.iov[t.at:min(len(t.iov), t.at+maxIov)]
		t.msg = unix.Msghdr{Iov: unsafe.SliceData(piece), Iovlen: uint64(len(piece))}
		n, _, e := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&t.msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch e {
		case 0:
			t.advance(int(n))
		case unix.EINTR:
		case unix.EAGAIN:
			t.d.stats.txStalls.Add(1)
			return false
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

// send sends the batch, and waits for room as long as the device is not stopped.
func (t *streamSender) send(l *link) {
	t.errno = 0
	t.waitsFor(l.file)
	err := os.ErrDeadlineExceeded
	if !t.stopped.Load() {
		err = l.conn.Write(t.try)
	}
	t.waitsFor(nil)
	whole, start := 0, 0 // frames that are sent, and where the next began
	for whole < t.n && t.ends[whole] <= t.sent {
		start = t.ends[whole]
		whole++
	}
	t.d.stats.txFrames.Add(uint64(whole))
	t.d.stats.txBytes.Add(uint64(start - whole*lengthSize))
	switch {
	case err == nil && t.errno == 0:
		t.finish(t.n)
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.interrupted(whole, start)
	default: // broken: the receiver finds out and says so
		t.d.stats.txDropped.Add(uint64(t.n - whole))
		t.finish(t.n)
	}
}

// interrupted puts back what a Stop kept from being sent; the rest of a frame that
// was begun is kept for the next Start.
func (t *streamSender) interrupted(whole, start int) {
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
	t.n = 0
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
