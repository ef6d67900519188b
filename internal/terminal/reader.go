package terminal

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// readSize is the most bytes taken from the input at once.
const readSize = 256

// Events are called from Read for a user's commands; any may be nil.
type Events struct {
	Leave func() // Read returns io.EOF from then on
	Help  func() // nil: nothing; commonly writes HelpText to the terminal
	Break func()
}

// Reader reads the guest's input, without the commands to the monitor. Only a
// terminal has those: what comes out of a pipe or file reaches the guest as it
// is. The end of the input, or an input that can't be read at all, is io.EOF; a
// machine without input runs on.
type Reader struct {
	term     *Terminal
	events   Events
	wake     int          // eventfd: the deadline changed
	deadline atomic.Int64 // Unix time in nanoseconds; 0: none
	closed   atomic.Bool
	ended    bool

	escape Escape
	buf    [readSize]byte
	in     []byte // in buf: read, and not looked at yet
	outBuf [readSize + 1]byte
	out    []byte // in outBuf: for the guest
	breaks bool   // a break follows out: the guest gets both in the order they were typed
}

// Reader returns a reader of the terminal's input. The caller closes it, which
// doesn't close the file. There should be only one.
func (t *Terminal) Reader(e Events) (*Reader, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &Reader{term: t, events: e, wake: wake}, nil
}

// Read implements io.Reader. Only one goroutine may read.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if len(r.out) > 0 {
			n := copy(p, r.out)
			r.out = r.out[n:]
			return n, nil
		}
		if r.breaks {
			r.breaks = false
			call(r.events.Break)
			continue
		}
		if r.ended || r.closed.Load() {
			return 0, io.EOF
		}
		if len(r.in) > 0 {
			r.filter()
			continue
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
}

// filter looks at the input up to the next command, and obeys that.
func (r *Reader) filter() {
	if !r.term.tty {
		r.out, r.in = r.in, nil
		return
	}
	out, n, action := r.escape.Next(r.outBuf[:0], r.in)
	r.out, r.in = out, r.in[n:]
	switch action {
	case Leave:
		r.ended, r.in = true, nil
		call(r.events.Leave)
	case Help:
		call(r.events.Help)
	case Break:
		r.breaks = true
	}
}

func call(f func()) {
	if f != nil {
		f()
	}
}

// fill waits for input, and reads it. At the input's end it sets ended.
func (r *Reader) fill() error {
	fds := [2]unix.PollFd{{Fd: int32(r.term.fd), Events: unix.POLLIN}, {Fd: int32(r.wake), Events: unix.POLLIN}}
	if r.term.fd < 0 {
		r.ended = true
		return nil
	}
	timeout := -1
	if at := r.deadline.Load(); at != 0 {
		left := time.Until(time.Unix(0, at))
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		timeout = int(min(left.Milliseconds()+1, 1<<30))
	}
	if _, err := unix.Poll(fds[:], timeout); err != nil {
		if err == unix.EINTR {
			return nil
		}
		return os.NewSyscallError("poll", err)
	}
	if fds[1].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(r.wake, count[:])
		return nil
	}
	if fds[0].Revents == 0 {
		return nil
	}
	n, err := unix.Read(r.term.fd, r.buf[:])
	switch {
	case err == unix.EINTR || err == unix.EAGAIN:
	case err != nil || n <= 0:
		// EIO is a terminal that was hung up, EBADF an input that is closed,
		// EISDIR a directory: input all the same that never comes.
		r.ended = true
	default:
		r.in = r.buf[:n]
	}
	return nil
}

// SetReadDeadline makes a Read under way, and later ones, return
// os.ErrDeadlineExceeded at the time t; the zero time takes that back.
func (r *Reader) SetReadDeadline(t time.Time) error {
	if r.closed.Load() {
		return os.ErrClosed
	}
	at := int64(0)
	if !t.IsZero() {
		at = max(t.UnixNano(), 1)
	}
	r.deadline.Store(at)
	r.interrupt()
	return nil
}

func (r *Reader) interrupt() {
	_, _ = unix.Write(r.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// Close gives back the reader's descriptor. No Read may be under way: interrupt
// it by SetReadDeadline before.
func (r *Reader) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	return os.NewSyscallError("close", unix.Close(r.wake))
}
