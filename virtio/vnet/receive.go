package vnet

import (
	"time"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// receiver is the driver's end of a streamReceiver: the buffers, the limit, and the
// frame that waits for either.
type receiver struct {
	pump
	win     *window
	limit   *ratelimit.Limiter
	limited bool
	frames  int // since the last flush
	bytes   int
}

func (r *receiver) init(d *Device, s *virtio.Session, q *virtio.Queue) {
	r.pump.init(d, s, q)
	r.win = newWindow(q, s.Features.Has(FeatureMergeable))
	r.limit, r.limited = d.rx, limits(d.config.RX)
}

// room waits until the held chains have n bytes. False: the frame is to be
// dropped, or the device stops.
func (r *receiver) room(n int) bool {
	if r.win.fill(n); r.win.room() >= n {
		return true
	}
	if !r.win.merge && r.win.n > 0 {
		return false // its one chain is too short
	}
	r.d.stats.rxStalls.Add(1)
	r.q.Flush()
	defer r.q.DisableNotify()
	for end := time.Now().Add(patience); ; {
		more := r.q.EnableNotify()
		r.win.fill(n)
		left := time.Until(end)
		switch {
		case r.win.room() >= n:
			return true
		case r.stopped.Load(), left <= 0, !r.win.merge && r.win.n > 0:
			return false
		case !more:
			_ = r.q.Bell().WaitFor(left)
		case r.win.n == r.q.Size():
			return false // all that there can be
		}
	}
}

// pass waits until the limit lets n bytes through. On a stop it does not wait:
// what was read from the cable is not lost.
func (r *receiver) pass(n int) {
	if !r.limited || r.limit.Take(uint64(n)) {
		return
	}
	r.d.stats.throttled.Add(1)
	for !r.stopped.Load() {
		r.nap(r.limit.Wait())
		if r.limit.Take(uint64(n)) {
			return
		}
	}
}

// deliver gives the driver the frame of n bytes, header included, that the held
// chains begin with.
func (r *receiver) deliver(n int) {
	r.pass(n - headerSize)
	r.win.give(n)
	r.win.publish()
	c := &r.d.stats
	c.rxFrames.Add(1)
	c.rxBytes.Add(uint64(n - headerSize))
	r.frames++
	r.bytes += n
	if r.frames >= batch || r.bytes >= batchBytes {
		r.flush()
	}
}

func (r *receiver) flush() {
	r.q.Flush()
	r.frames, r.bytes = 0, 0
}

// starve waits for buffers.
func (r *receiver) starve() {
	if r.frames > 0 {
		r.flush()
	}
	if r.q.Available() || r.spin() {
		return
	}
	r.d.stats.rxStalls.Add(1)
	r.sleep()
}
