package vnet

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/tap"
)

// tapReceiver reads frames from a tap straight into the driver's buffers. How long
// a frame is shows only when it has been read; a private buffer behind the
// driver's takes what they don't, so that nothing is cut off.
type tapReceiver struct {
	receiver
	cable  *tap.Queue
	bounce []byte
	want   int // bytes of the driver's buffers to read into
	short  int // frames in a row that would have fitted smallWant

	n      int
	errno  syscall.Errno
	direct int // bytes that the last read had of the driver's buffers
	try    func(uintptr) bool
}

// How many bytes of buffers a read gets: a readv of few pieces is cheaper, and
// most traffic has either frames of the MTU or long ones.
const (
	smallWant  = 2048
	largeWant  = headerSize + maxFrame
	shortAfter = 64
)

func newTapReceiver(cable *tap.Queue) *tapReceiver {
	t := &tapReceiver{cable: cable, bounce: make([]byte, largeWant), want: smallWant}
	t.waitsFor(cable.File())
	t.try = func(uintptr) bool { t.read(); return t.errno != unix.EAGAIN }
	return t
}

// read reads one frame, if there is one.
func (t *tapReceiver) read() {
	pieces, bytes := t.win.reach(t.want)
	at := t.win.start + pieces
	kept := t.win.iov[at]
	t.win.iov[at] = pieceOf(t.bounce)
	t.n, t.errno = vector(unix.SYS_READV, t.cable.FD(), t.win.iov[t.win.start:at+1])
	t.win.iov[at] = kept
	t.direct = bytes
}

func (t *tapReceiver) run() {
	defer t.win.restore()
	t.q.DisableNotify()
	for !t.stopped.Load() {
		if !t.win.fill(t.want) {
			t.starve()
			continue
		}
		t.read()
		if t.errno == unix.EAGAIN {
			if t.frames > 0 {
				t.flush()
			}
			// No look for more before sleeping: here a sleep costs nobody an exit, and the
			// driver's buffers are enough for now, it need not ring.
			if err := t.cable.Conn().Read(t.try); err != nil {
				if t.stopped.Load() {
					return
				}
				t.errno = unix.EBADFD
			}
			t.q.Stats().Wakeups.Add(1)
		}
		if t.errno != 0 {
			if !t.broken() {
				return
			}
			continue
		}
		t.busy(1)
		t.arrived()
	}
	if t.frames > 0 {
		t.flush()
	}
}

// arrived passes the frame on that was read.
func (t *tapReceiver) arrived() {
	if t.n < headerSize+ethernet || t.n > largeWant || !t.d.linkUp() {
		t.d.stats.rxDropped.Add(1)
		return
	}
	if t.n > smallWant {
		t.short, t.want = 0, largeWant
	} else if t.short++; t.short > shortAfter {
		t.want = smallWant
	}
	if t.n > t.direct {
		if !t.room(t.n) {
			t.d.stats.rxDropped.Add(1)
			return
		}
		t.win.vec().CopyIn(t.bounce[:t.n-t.direct], t.direct)
	}
	t.deliver(t.n)
	if t.frames == 0 {
		runtime.Gosched()
	}
}

// broken says what becomes of an error of the tap's. False: it is over.
func (t *tapReceiver) broken() bool {
	switch t.errno {
	case unix.EBADFD, unix.EBADF, unix.ENODEV:
		t.q.Flush()
		t.d.cableGone(t.errno)
		return false
	case unix.EFAULT:
		// Guest memory that the host can't give; the frame is lost.
		t.d.stats.rxDropped.Add(1)
		t.q.Fail(errMemory)
		return false
	case unix.EIO: // the interface is down; the poller would not say when it is up again
		t.nap(patience)
		return true
	}
	t.d.stats.rxDropped.Add(1)
	t.nap(patience)
	return true
}
