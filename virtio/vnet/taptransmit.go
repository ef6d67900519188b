package vnet

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/tap"
	"github.com/mayfly-vm/mayfly/virtio"
)

// sender is what all ways to transmit share.
type sender struct {
	pump
	limit   *ratelimit.Limiter
	limited bool
}

func (s *sender) init(d *Device, session *virtio.Session, q *virtio.Queue) {
	s.pump.init(d, session, q)
	s.limit, s.limited = d.tx, limits(d.config.TX)
}

// pass tells whether the limit lets n bytes through; if not, it has put the chain
// back, which was the last to be popped, and waited.
func (s *sender) pass(c *virtio.Chain, n int) bool {
	if !s.limited || s.limit.Take(uint64(n)) {
		return true
	}
	s.q.Unpop(c)
	s.d.stats.throttled.Add(1)
	s.nap(s.limit.Wait())
	return false
}

// frameLen is the length of the frame in c, without its header. False: that is no
// frame.
func frameLen(c *virtio.Chain) (int, bool) {
	n := c.Out.Len() - headerSize
	return n, n >= ethernet && n <= maxFrame
}

// tapSender writes frames from the driver's buffers straight to a tap. A tap takes
// all that its interface can: what it refuses is dropped, as on a wire.
type tapSender struct {
	sender
	cable *tap.Queue
	chain virtio.Chain
}

func (t *tapSender) run() {
	t.q.DisableNotify()
	for !t.stopped.Load() {
		if n := t.work(); n > 0 {
			t.busy(n)
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

// work takes a batch and tells how many frames that were.
func (t *tapSender) work() int {
	bytes := 0
	for i := range batch {
		if !t.q.Pop(&t.chain) {
			if i > 0 {
				t.q.Flush()
			}
			return i
		}
		n, ok := frameLen(&t.chain)
		if ok && !t.pass(&t.chain, n) {
			return i + 1
		}
		if ok && t.d.linkUp() {
			ok = t.write()
		} else {
			ok = false
		}
		if ok {
			t.d.stats.txFrames.Add(1)
			t.d.stats.txBytes.Add(uint64(n))
		} else {
			t.d.stats.txDropped.Add(1)
		}
		t.q.Push(&t.chain, 0)
		if bytes += n; bytes >= batchBytes {
			break
		}
	}
	t.q.Flush()
	return batch
}

func (t *tapSender) write() bool {
	_, e := vector(unix.SYS_WRITEV, t.cable.FD(), t.chain.Out)
	switch e {
	case 0:
		return true
	case unix.EBADFD, unix.EBADF, unix.ENODEV:
		t.d.cableGone(e)
	}
	return false
}
