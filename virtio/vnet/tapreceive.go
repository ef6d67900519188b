package vnet

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/sys/tap"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// tapReceiver reads frames from a tap straight into the driver's buffers. How long
// a frame is shows only when it has been read; a private buffer behind the
// driver's takes what they don't, so that nothing is cut off.
type tapReceiver struct {
	d       *Device
	q       *virtio.Queue
	cable   *tap.Queue
	win     *window
	limit   *ratelimit.Limiter
	limited bool
	bounce  []byte
	want    int // bytes of the driver's buffers to read into
	short   int // frames in a row that would have fitted smallWant

	frame  int // bytes of the frame that was read and waits; 0: there is none
	direct int // of these, those that the driver's buffers have; the rest is in bounce

	starved bool         // more buffers are needed
	until   virtio.Timer // of the limit, of the patience with a frame, or of an interface that is down
	gone    bool         // there is nothing to be had any more
}

// How many bytes of buffers a read gets: a readv of few pieces is cheaper, and
// most traffic has either frames of the MTU or long ones.
const (
	smallWant  = 2048
	largeWant  = headerSize + maxFrame
	shortAfter = 64
)

// group is how many buffers the driver gets at once. Each time takes the ring's
// cache line from a driver that polls. The first frame goes at once: nothing may
// follow it.
const group = 8

func newTapReceiver(d *Device, cable *tap.Queue, q *virtio.Queue, merge bool) *tapReceiver {
	return &tapReceiver{d: d, q: q, cable: cable, win: newWindow(q, merge), limit: d.rx, limited: limits(d.config.RX),
		bounce: make([]byte, largeWant), want: smallWant}
}

// work takes a batch and tells how many frames that were.
func (t *tapReceiver) work() (frames int) {
	t.starved = false
	for bytes := 0; frames < batch && bytes < tapBatchBytes; frames++ {
		if t.frame == 0 && !t.next() {
			break
		}
		n := t.frame
		if n > 0 && !t.deliver() {
			break
		}
		if bytes += n; frames == 0 || len(t.win.push) >= group {
			t.win.publish()
		}
	}
	t.win.publish()
	t.q.Flush() // also where only chains of no use went back
	return frames
}

// next reads a frame, if there is one. One that is to be dropped leaves frame 0.
func (t *tapReceiver) next() bool {
	if t.gone || t.until.Waits() {
		return false
	}
	if !t.win.fill(t.want) {
		t.starved = true
		return false
	}
	n, direct, e := t.read()
	switch {
	case e == unix.EAGAIN:
		return false
	case e != 0:
		t.broken(e)
		return false
	case n < headerSize+ethernet || n > largeWant || !t.d.linkUp():
		t.d.stats.rxDropped.Add(1)
		return true
	}
	if n > smallWant {
		t.short, t.want = 0, largeWant
	} else if t.short++; t.short > shortAfter {
		t.want = smallWant
	}
	t.frame, t.direct = n, min(n, direct)
	return true
}

func (t *tapReceiver) read() (n, direct int, e syscall.Errno) {
	pieces, direct := t.win.reach(t.want)
	at := t.win.start + pieces
	kept := t.win.iov[at]
	t.win.iov[at] = pieceOf(t.bounce)
	n, e = readTap(t.cable.FD(), t.win.iov[t.win.start:at+1])
	t.win.iov[at] = kept
	return n, direct, e
}

// deliver gives the driver the frame, or drops it. False: it waits.
func (t *tapReceiver) deliver() bool {
	if t.direct < t.frame && !t.room() {
		return t.frame == 0
	}
	if t.limited {
		if t.until.Waits() {
			return false
		}
		if !t.limit.Take(uint64(t.frame - headerSize)) {
			t.d.stats.throttled.Add(1)
			t.until.Set(t.limit.Wait())
			return false
		}
	}
	t.give()
	return true
}

// room finds buffers for what bounce has of the frame, and copies it there. It drops a
// frame for which there can't be enough, or were not in time.
func (t *tapReceiver) room() bool {
	t.win.publish() // what is set aside takes places of the window
	switch t.win.fill(t.frame); {
	case t.win.room() >= t.frame:
		t.win.vec().CopyIn(t.bounce[:t.frame-t.direct], t.direct)
		t.direct = t.frame
		t.until.Stop()
		return true
	case !t.win.full() && !t.until.IsSet():
		t.until.Set(patience)
	case t.win.full() || !t.until.Waits():
		t.until.Stop()
		t.d.stats.rxDropped.Add(1)
		t.frame = 0
		return false
	}
	t.starved = true
	return false
}

func (t *tapReceiver) give() {
	t.win.give(t.frame)
	t.d.stats.rxFrames.Add(1)
	t.d.stats.rxBytes.Add(uint64(t.frame - headerSize))
	t.frame = 0
}

// broken says what becomes of an error of the tap's.
func (t *tapReceiver) broken(e syscall.Errno) {
	switch e {
	case unix.EBADFD, unix.EBADF, unix.ENODEV:
		t.gone = true
		t.d.cableGone(e)
	case unix.EFAULT:
		// Guest memory that the host can't give; the frame is lost.
		t.gone = true
		t.d.stats.rxDropped.Add(1)
		t.q.Fail(errMemory)
	case unix.EIO: // the interface is down; the poller would not say when it is up again
		t.until.Set(patience)
	default:
		t.d.stats.rxDropped.Add(1)
		t.until.Set(patience)
	}
}

// rings asks the driver to ring for buffers, if they are what is missing, and tells
// whether there are some.
func (t *tapReceiver) rings() bool {
	if !t.starved {
		return false
	}
	t.d.stats.rxStalls.Add(1)
	return t.q.EnableNotify()
}

// listens tells whether a frame would be read.
func (t *tapReceiver) listens() bool {
	return t.frame == 0 && !t.starved && !t.gone && !t.until.IsSet()
}

// finish is the end of the work. What was read from the cable and fits is not lost.
func (t *tapReceiver) finish() {
	switch {
	case t.frame == 0:
	case t.direct == t.frame:
		t.give()
	default:
		t.d.stats.rxDropped.Add(1)
	}
	t.win.publish()
	t.q.Flush()
}
