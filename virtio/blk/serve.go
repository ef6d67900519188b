package blk

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/virtio"
)

var errShort = errors.New("the image ends before the disk does: was it truncated?")

// begin serves a request as far as that goes without waiting. False: the limits,
// or others under way, don't let it through yet, and it is back in its ring.
func (w *worker) begin(r *request) bool {
	if err := r.parse(); err != nil {
		w.queue.Fail(err)
		w.give(r)
		return true
	}
	size := w.d.capacity.Load()
	bytes, held := 0, false
	switch r.kind {
	case typeIn, typeOut:
		bytes = r.left
		held = (bytes > long || w.d.inOrder) && w.flight > 0
	case typeFlush:
		held = w.d.inOrder && w.flight > 0
	case typeDiscard, typeWriteZeroes:
		// One after the other, so that what a stop waits for is bounded.
		if held = w.clearing || w.d.inOrder && w.flight > 0; !held {
			r.ruling = w.rule(r, size)
			bytes = r.zeroBytes()
		}
	}
	if held {
		w.queue.Unpop(&r.chain)
		w.give(r)
		w.behind = true
		return false
	}
	if r.kind != typeGetID && !w.d.limiter.Take(uint64(bytes)) {
		w.queue.Unpop(&r.chain)
		w.give(r)
		w.d.stats.throttled.Add(1)
		w.limited.Set(w.d.limiter.Wait())
		return false
	}
	switch r.kind {
	case typeIn:
		w.tally.reads++
		w.tally.readBytes += uint64(r.left)
		if r.left%disk.SectorSize != 0 || !r.within(size) {
			w.fail(r)
			return true
		}
		w.read(r)
	case typeOut:
		w.tally.writes++
		w.tally.writeBytes += uint64(r.left)
		if w.readOnly || r.left%disk.SectorSize != 0 || !r.within(size) {
			w.fail(r)
			return true
		}
		w.write(r)
	case typeFlush:
		w.d.stats.flushes.Add(1)
		if r.left, r.total = 0, 0; w.readOnly || w.cache == Unsafe {
			w.finish(r, statusOK)
			return true
		}
		w.wait(r)
	case typeGetID:
		var id [MaxSerial]byte
		copy(id[:], w.serial())
		r.left -= r.data.CopyIn(id[:], 0)
		r.total, r.left = r.total-r.left, 0
		w.finish(r, statusOK)
	case typeDiscard, typeWriteZeroes:
		w.deallocate(r)
	default:
		w.d.stats.unsupported.Add(1)
		w.finish(r, statusUnsupported)
	}
	return true
}

func (w *worker) serial() string { return w.d.serial.Load().(string) }

func (w *worker) read(r *request) {
	if r.left == 0 {
		w.finish(r, statusOK)
		return
	}
	if w.file != nil && r.left <= long && w.pace.tryRead() {
		w.hold(r)
		return
	}
	w.wait(r)
}

func (w *worker) write(r *request) {
	r.durable = w.cache != Unsafe && !w.d.writeback.Load()
	if r.left == 0 {
		w.finish(r, statusOK)
		return
	}
	if w.file == nil || !w.mayCall(r) || !w.pace.tryWrite() {
		w.wait(r)
		return
	}
	flags := 0
	if r.durable {
		flags = unix.RWF_DSYNC
	}
	n, err := w.file.Pwritev(r.front(), r.off, flags)
	w.pace.didWrite(w.queue.Available())
	switch {
	case err == syscall.EINVAL && w.file.Direct():
		w.toPool(r) // threads know a way around O_DIRECT's alignment
	case err != nil:
		w.trouble(r, err)
	case n < r.left:
		r.advance(n)
		w.wait(r)
	default:
		r.left = 0
		if w.file.Buffered() {
			w.tally.inline++
		}
		w.finish(r, statusOK)
	}
}

// mayCall tells whether a write may keep the queue's goroutine until it is done:
// into the page cache because that is soon, past it when there is nothing else to
// do. The kernel ends a write past the cache in the call that waits for it, but in
// a thread of its own if nobody does: two wake-ups more.
func (w *worker) mayCall(r *request) bool {
	if w.file.Buffered() {
		// A write of part of a page may have to read the rest first.
		return !r.durable && (r.off|int64(r.left))&4095 == 0
	}
	return w.pace.single(w.flight == 0 && !w.queue.Available())
}

// rule reads the ranges of a discard or write-zeroes request and returns its status
// if it is refused: before any work, and before it costs tokens.
func (w *worker) rule(r *request, size int64) byte {
	if w.readOnly {
		return statusIOErr
	}
	return r.parseRanges(size)
}

func (w *worker) deallocate(r *request) {
	if r.kind == typeDiscard {
		w.d.stats.discards.Add(1)
	} else {
		w.d.stats.zeroes.Add(1)
	}
	r.durable = w.cache != Unsafe && !w.d.writeback.Load()
	switch r.ruling {
	case statusOK:
	case statusUnsupported:
		w.d.stats.unsupported.Add(1)
		w.finish(r, statusUnsupported)
		return
	default:
		w.fail(r)
		return
	}
	if r.left, r.total = 0, 0; len(r.ranges) == 0 {
		w.finish(r, statusOK)
		return
	}
	w.clearing = true
	w.toPool(r)
}

// over tells whether nobody waits for answers any more: requests are abandoned.
func (w *worker) over() bool { return w.mute || w.session.Ending() }

// wait hands r to who can wait for the disk.
func (w *worker) wait(r *request) {
	if w.over() {
		w.give(r)
		return
	}
	if !w.noRing && w.ring == nil {
		w.ring = newRing(w.uring)
	}
	if w.noRing {
		w.toPool(r)
		return
	}
	w.flight++
	if w.ring.start(r) {
		w.tally.joined++
	}
}

func (w *worker) toPool(r *request) {
	if w.pool == nil {
		w.pool = newPool(w.session, w.image, w.queue.Wake, w.queue.Size())
		if w.armed {
			w.pool.arm(true)
		}
	}
	w.flight++
	w.pool.start(r)
}

// complete goes on with a request that came back from an engine.
func (w *worker) complete(r *request, n int, err error, ring bool) {
	transfer := r.kind == typeIn || r.kind == typeOut
	if r.kind == typeDiscard || r.kind == typeWriteZeroes {
		w.clearing = false
	}
	switch {
	case err == nil && (!transfer || n >= r.left):
		r.left = 0
		w.finish(r, statusOK)
	case w.over():
		w.give(r)
	case ring && (err == syscall.EINVAL || err == syscall.EAGAIN || err == syscall.EINTR || err == syscall.ECANCELED):
		// Threads know a way around O_DIRECT's alignment; and the kernel cancels what
		// a thread of this process left behind when it ended, flushes too.
		w.toPool(r)
	case err != nil:
		w.trouble(r, err)
	case n == 0:
		w.trouble(r, errShort)
	default:
		r.advance(n)
		w.wait(r)
	}
}

var kinds = map[uint32]string{typeIn: "a read", typeOut: "a write", typeFlush: "a flush", typeDiscard: "a discard", typeWriteZeroes: "a write of zeroes"}

// trouble ends a request that the host could not serve.
func (w *worker) trouble(r *request, err error) {
	w.d.report.failed(kinds[r.kind], r.left, max(r.off, 0), err)
	w.fail(r)
}

// fail ends a request with an I/O error.
func (w *worker) fail(r *request) {
	w.d.stats.errors.Add(1)
	w.finish(r, statusIOErr)
}

// finish answers a request. The status is the last writable byte: the used length
// counts it only when all before it was written.
func (w *worker) finish(r *request, status byte) {
	written := 0
	if r.kind == typeIn || r.kind == typeGetID {
		written = r.total - r.left
	}
	if !w.mute {
		*r.status = status
		if status == statusOK || written == 0 && r.dataless() {
			written++
		}
		w.queue.Push(&r.chain, written)
	}
	w.give(r)
}

// dataless tells whether the status is all that the driver lets be written.
func (r *request) dataless() bool { return virtio.Vec(r.chain.In).Len() == 1 }
