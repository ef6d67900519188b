package vnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// streamBuffer is what is read from a stream at once: many frames, and at least
// one of the longest.
const streamBuffer = 256 << 10

// streamReceiver reads frames from a stream. Their borders show only in what has
// been read, so they are copied once.
type streamReceiver struct {
	receiver
	s   *stream
	buf []byte
	// buf[from:to] was read and not delivered.
	from, to int

	n     int
	errno syscall.Errno
	try   func(uintptr) bool
	wait  bool // try is to wait for data
}

func newStreamReceiver(s *stream) *streamReceiver {
	t := &streamReceiver{s: s}
	t.try = t.read
	return t
}

func (t *streamReceiver) read(fd uintptr) bool {
	p := t.buf[t.to:]
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		if e == unix.EINTR {
			continue
		}
		t.n, t.errno = int(n), e
		return e != unix.EAGAIN || !t.wait
	}
}

func (t *streamReceiver) run() {
	defer t.win.restore()
	t.buf = make([]byte, streamBuffer)
	t.to = copy(t.buf, t.s.takeUnread())
	defer func() { t.s.keepUnread(t.buf[t.from:t.to]) }()
	t.q.DisableNotify()
	delay := retryFirst
	for !t.stopped.Load() {
		l := t.s.current()
		if l == nil {
			t.from, t.to = 0, 0
			if t.s.path == "" {
				t.rest() // for good
				continue
			}
			t.nap(delay)
			if delay = min(2*delay, retryLast); t.stopped.Load() || !t.s.again() {
				continue
			}
			delay = retryFirst
			continue
		}
		if err := t.serve(l); err != nil && !t.stopped.Load() {
			if errors.Is(err, errFarEnd) {
				err = nil
			}
			t.s.lost(l, err)
		}
	}
	if t.frames > 0 {
		t.flush()
	}
}

var errFarEnd = errors.New("closed by the far end")

// serve moves frames until the connection ends or the device stops.
func (t *streamReceiver) serve(l *link) error {
	t.waitsFor(l.file)
	defer t.waitsFor(nil)
	for !t.stopped.Load() {
		if !t.win.fill(headerSize) {
			t.starve()
			continue
		}
		t.wait = false
		err := l.conn.Read(t.try)
		if err == nil && t.errno == unix.EAGAIN {
			if t.frames > 0 {
				t.flush()
			}
			t.wait = true
			err = l.conn.Read(t.try)
			t.q.Stats().Wakeups.Add(1)
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		case t.errno != 0:
			return t.errno
		case t.n == 0:
			return errFarEnd
		}
		t.busy(1)
		t.to += t.n
		if err := t.split(); err != nil {
			return err
		}
	}
	return nil
}

// split delivers the frames that the buffer has as a whole, and moves the rest to
// its beginning.
func (t *streamReceiver) split() error {
	for t.to-t.from >= lengthSize {
		n := int(binary.BigEndian.Uint32(t.buf[t.from:]))
		if n > maxFrame || n < ethernet {
			return fmt.Errorf("a frame of %d bytes; there are %d to %d: what is there speaks another protocol", n, ethernet, maxFrame)
		}
		if t.to-t.from < lengthSize+n {
			break
		}
		frame := t.buf[t.from+lengthSize:][:n]
		t.from += lengthSize + n
		if !t.d.linkUp() || !t.room(headerSize+n) {
			t.d.stats.rxDropped.Add(1)
			continue
		}
		v := t.win.vec()
		v.CopyIn(zeroHeader[:], 0)
		v.CopyIn(frame, headerSize)
		t.deliver(headerSize + n)
	}
	if t.from == t.to {
		t.from, t.to = 0, 0
	} else if t.from > 0 {
		t.to = copy(t.buf, t.buf[t.from:t.to])
		t.from = 0
	}
	return nil
}

// takeUnread and keepUnread carry the part of a frame from one session to the
// next: without it, the middle of that frame would be read as a length.
func (s *stream) takeUnread() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.unread
	s.unread = nil
	return p
}

func (s *stream) keepUnread(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil && len(p) > 0 {
		s.unread = bytes.Clone(p)
	}
}
