package terminal

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Events are called for a user's commands; any may be nil. Leave and Help come when
// they are typed, Break comes from the Read that has got to it: the guest gets it
// and what was typed before in their order.
type Events struct {
	Leave func() // what was typed before can still be read
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
	typed    *typed // of a terminal: what was typed
	ended    bool   // of any other input
}

// Reader returns a reader of the terminal's input. The caller closes it, which
// doesn't close the file. There should be only one. From now on the user's commands
// are obeyed, whether anybody reads or not.
func (t *Terminal) Reader(e Events) (*Reader, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	r := &Reader{term: t, events: e, wake: wake}
	if t.tty && t.fd >= 0 {
		r.typed = newTyped()
		go r.watch()
	}
	return r, nil
}

// Read implements io.Reader. Only one goroutine may read.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.typed != nil {
		return r.readTyped(p)
	}
	for {
		if r.ended || r.closed.Load() || r.term.fd < 0 {
			return 0, io.EOF
		}
		ready, err := r.wait()
		if err != nil {
			return 0, err
		}
		if !ready {
			continue
		}
		if n := r.fill(p); n > 0 {
			return n, nil
		}
	}
}

func call(f func()) {
	if f != nil {
		f()
	}
}

// wait returns when there is input, and false when something else happened.
func (r *Reader) wait() (bool, error) {
	fds := [2]unix.PollFd{{Fd: int32(r.term.fd), Events: unix.POLLIN}, {Fd: int32(r.wake), Events: unix.POLLIN}}
	timeout := -1
	if at := r.deadline.Load(); at != 0 && r.typed == nil {
		left := time.Until(time.Unix(0, at))
		if left <= 0 {
			return false, os.ErrDeadlineExceeded
		}
		timeout = int(min(left.Milliseconds()+1, 1<<30))
	}
	if _, err := unix.Poll(fds[:], timeout); err != nil {
		if err == unix.EINTR {
			return false, nil
		}
		return false, os.NewSyscallError("poll", err)
	}
	if fds[1].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(r.wake, count[:])
		return false, nil
	}
	return fds[0].Revents != 0, nil
}

// fill reads. At the input's end it sets ended.
func (r *Reader) fill(p []byte) int {
	n, err := unix.Read(r.term.fd, p)
	switch {
	case err == unix.EINTR || err == unix.EAGAIN:
		return 0
	case err != nil || n <= 0:
		// EIO is a terminal that was hung up, EBADF an input that is closed,
		// EISDIR a directory: input all the same that never comes.
		r.ended = true
		return 0
	}
	return n
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
	if r.typed != nil {
		r.typed.signal()
	} else {
		r.interrupt()
	}
	return nil
}

func (r *Reader) interrupt() {
	_, _ = unix.Write(r.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// Close ends the reading: nothing more is taken from the input. A Read of what was
// typed returns io.EOF; of any other input none may be under way, interrupt it by
// SetReadDeadline before.
func (r *Reader) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	if r.typed != nil {
		r.typed.signal()
		r.typed.makeRoom()
		r.interrupt()
		<-r.typed.done
	}
	return os.NewSyscallError("close", unix.Close(r.wake))
}
