package vnet

import (
	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/sys/tap"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// tapSender writes frames from the driver's buffers straight to a tap. A tap takes
// all that its interface can: what it refuses is dropped, as on a wire.
type tapSender struct {
	d       *Device
	q       *virtio.Queue
	cable   *tap.Queue
	limit   *ratelimit.Limiter
	limited bool
	until   virtio.Timer // of the limit

	chains  [batch]virtio.Chain
	sent    [batch]*virtio.Chain // the same, for PushAll
	written [batch]int           // nothing
}

func newTapSender(d *Device, cable *tap.Queue, q *virtio.Queue) *tapSender {
	t := &tapSender{d: d, q: q, cable: cable, limit: d.tx, limited: limits(d.config.TX)}
	for i := range t.chains {
		t.sent[i] = &t.chains[i]
	}
	return t
}

// work takes a batch and tells how many frames that were. The driver gets them back at
// once: each time takes the ring's cache line from a driver that polls.
func (t *tapSender) work() (frames int) {
	if t.until.Waits() {
		return 0
	}
	for bytes := 0; frames < batch && bytes < tapBatchBytes; frames++ {
		c := &t.chains[frames]
		if !t.q.Pop(c) {
			break
		}
		n, ok := frameLen(c)
		if ok && t.limited && !t.limit.Take(uint64(n)) {
			t.q.Unpop(c)
			t.d.stats.throttled.Add(1)
			t.until.Set(t.limit.Wait())
			break
		}
		if ok && t.d.linkUp() && t.write(c) {
			t.d.stats.txFrames.Add(1)
			t.d.stats.txBytes.Add(uint64(n))
		} else {
			t.d.stats.txDropped.Add(1)
		}
		bytes += n
	}
	if frames > 0 {
		t.q.PushAll(t.sent[:frames], t.written[:frames])
		t.q.Flush()
	}
	return frames
}

func (t *tapSender) write(c *virtio.Chain) bool {
	switch e := writeTap(t.cable.FD(), c.Out); e {
	case 0:
		return true
	case unix.EBADFD, unix.EBADF, unix.ENODEV:
		t.d.cableGone(e)
	}
	return false
}

// rings asks the driver to ring for frames, if they could go, and tells whether
// there are some.
func (t *tapSender) rings() bool { return !t.until.IsSet() && t.q.EnableNotify() }

// frameLen is the length of the frame in c, without its header. False: that is no
// frame.
func frameLen(c *virtio.Chain) (int, bool) {
	n := c.Out.Len() - headerSize
	return n, n >= ethernet && n <= maxFrame
}
