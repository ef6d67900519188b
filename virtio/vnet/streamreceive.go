package vnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// streamBuffer is what is read from a stream at once: many frames, and at least
// one of the longest.
const streamBuffer = 256 << 10

// streamReceiver reads frames from a stream. Their borders show only in what has
// been read, so they are copied once.
type streamReceiver struct {
	d       *Device
	s       *stream
	q       *virtio.Queue
	loop    *virtio.Loop
	win     *window
	limit   *ratelimit.Limiter
	limited bool

	link *link // nil: there is none
	buf  []byte
	// buf[from:to] was read and not delivered.
	from, to int

	starved bool         // more buffers are needed
	pause   virtio.Timer // of the limit
	late    virtio.Timer // of the patience with a frame
	retry   virtio.Timer // of the next attempt to connect
	delay   time.Duration

	n     int
	errno syscall.Errno
	try   func(uintptr) bool
}

func startStreamReceiver(d *Device, s *virtio.Session, q *virtio.Queue) (*streamReceiver, error) {
	t := &streamReceiver{d: d, s: d.stream, q: q, win: newWindow(q, s.Features.Has(FeatureMergeable)), limit: d.rx, limited: limits(d.config.RX),
		buf: make([]byte, streamBuffer)}
	t.try = t.read
	t.link, t.to = t.s.takeUnread(t.buf)
	var err error
	t.loop, err = s.NewLoop(virtio.LoopConfig{Queues: []*virtio.Queue{q}, Work: t.work, Idle: t.idle, End: t.end, Spin: d.spin,
		Spinner: t.spinner, Timers: []*virtio.Timer{&t.pause, &t.late, &t.retry}, Descriptor: true})
	if err != nil {
		return nil, err
	}
	if t.link != nil {
		if err := t.link.watch(t.loop); err != nil {
			t.loop.Close()
			return nil, err
		}
	}
	t.loop.Run()
	return t, nil
}

func (t *streamReceiver) quit() { t.loop.Quit() }

func (t *streamReceiver) join() {
	t.loop.Stop()
	t.win.restore()
	t.s.keepUnread(t.link, t.buf[t.from:t.to])
}

func (t *streamReceiver) end() { t.q.Flush() }

// work moves a batch of frames and reports whether there was any.
func (t *streamReceiver) work() bool {
	if t.link == nil {
		return t.connect()
	}
	did := false
	t.starved = false
	for frames, bytes := 0, 0; frames < batch && bytes < batchBytes; {
		n, err := t.frame()
		switch {
		case err != nil:
		case n > 0 && !t.deliver(n):
			t.q.Flush()
			return did
		case n > 0:
			t.from += lengthSize + n
			frames, bytes, did = frames+1, bytes+n, true
			continue
		default:
			var more bool
			if more, err = t.fill(); more {
				did = true
				continue
			}
		}
		if err != nil {
			t.lost(err)
			did = true
		}
		break
	}
	t.q.Flush()
	runtime.Gosched() // a processor that came back from its guest may wait for this thread
	return did
}

// frame is the length of the first frame, if the buffer has all of it; else 0.
func (t *streamReceiver) frame() (int, error) {
	if t.to-t.from < lengthSize {
		return 0, nil
	}
	n := int(binary.BigEndian.Uint32(t.buf[t.from:]))
	if n > maxFrame || n < ethernet {
		return 0, fmt.Errorf("a frame of %d bytes; there are %d to %d: what is there speaks another protocol", n, ethernet, maxFrame)
	}
	if t.to-t.from < lengthSize+n {
		return 0, nil
	}
	return n, nil
}

var errFarEnd = errors.New("closed by the far end")

// fill reads what there is, if the driver has buffers for some of it.
func (t *streamReceiver) fill() (bool, error) {
	if !t.win.fill(headerSize) {
		t.starved = true
		return false, nil
	}
	t.to = copy(t.buf, t.buf[t.from:t.to])
	t.from = 0
	err := t.link.conn.Read(t.try)
	switch {
	case err != nil:
		return false, err
	case t.errno == unix.EAGAIN:
		return false, nil
	case t.errno != 0:
		return false, t.errno
	case t.n == 0:
		return false, errFarEnd
	}
	t.to += t.n
	return true, nil
}

// read does not wait. The connection keeps the descriptor from being closed meanwhile.
func (t *streamReceiver) read(fd uintptr) bool {
	p := t.buf[t.to:]
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		if e != unix.EINTR {
			t.n, t.errno = int(n), e
			return true
		}
	}
}

// deliver gives the driver the first frame, of n bytes, or drops it. False: it waits.
func (t *streamReceiver) deliver(n int) bool {
	if t.pause.Waits() {
		return false
	}
	if !t.d.linkUp() {
		t.drop()
		return true
	}
	if t.win.fill(headerSize + n); t.win.room() < headerSize+n {
		return !t.waitForRoom()
	}
	t.late.Stop()
	if t.limited && !t.limit.Take(uint64(n)) {
		t.d.stats.throttled.Add(1)
		t.pause.Set(t.limit.Wait())
		return false
	}
	v := t.win.vec()
	v.CopyIn(zeroHeader[:], 0)
	v.CopyIn(t.buf[t.from+lengthSize:][:n], headerSize)
	t.win.give(headerSize + n)
	t.win.publish()
	t.d.stats.rxFrames.Add(1)
	t.d.stats.rxBytes.Add(uint64(n))
	return true
}

// waitForRoom drops a frame for which there can't be enough buffers, or were not in
// time, and reports whether it waits.
func (t *streamReceiver) waitForRoom() bool {
	switch {
	case t.win.full():
		t.drop()
		return false
	case !t.late.IsSet():
		t.late.Set(patience)
	case !t.late.Waits():
		t.drop()
		return false
	}
	t.starved = true
	return true
}

func (t *streamReceiver) drop() {
	t.late.Stop()
	t.d.stats.rxDropped.Add(1)
}

// spinner chooses to sleep at once where polling finds nothing.
func (t *streamReceiver) spinner(own *virtio.Spinner) *virtio.Spinner {
	if t.link == nil || t.pause.IsSet() {
		return nil
	}
	return own
}

// idle asks for what is to wake the goroutine: buffers, frames, or a timer alone.
func (t *streamReceiver) idle() bool {
	switch {
	case t.link == nil || t.pause.IsSet():
		return false
	case t.starved:
		t.d.stats.rxStalls.Add(1)
		return t.q.EnableNotify()
	}
	t.loop.Await(t.link.fd, unix.EPOLLIN)
	return false
}

// lost ends the connection.
func (t *streamReceiver) lost(err error) {
	if errors.Is(err, errFarEnd) {
		err = nil
	}
	t.s.lost(t.link, err)
	t.link, t.from, t.to, t.delay = nil, 0, 0, 0
	t.late.Stop()
	t.pause.Stop()
}

// connect tries again to connect, after longer and longer times, and reports whether
// there is a connection.
func (t *streamReceiver) connect() bool {
	switch {
	case t.s.path == "" || t.retry.Waits():
		return false
	case t.delay == 0:
		t.delay = retryFirst
		t.retry.Set(t.delay)
		return false
	}
	l := t.s.again()
	if l != nil && l.watch(t.loop) != nil {
		t.s.lost(l, nil)
		l = nil
	}
	if l == nil {
		t.delay = min(2*t.delay, retryLast)
		t.retry.Set(t.delay)
		return false
	}
	t.link, t.delay = l, 0
	return true
}

// takeUnread and keepUnread carry what was read of a connection and not delivered from
// one session to the next: without it, the middle of a frame would be read as a length.
func (s *stream) takeUnread(buf []byte) (l *link, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = copy(buf, s.unread)
	s.unread = nil
	return s.now, n
}

func (s *stream) keepUnread(l *link, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == l && l != nil && len(p) > 0 {
		s.unread = bytes.Clone(p)
	}
}
