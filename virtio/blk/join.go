package blk

import "github.com/mayfly-vm/mayfly/virtio"

// What is joined is at most joinBytes long, and a list of joinVecs buffers.
const (
	joinBytes = 1 << 20
	joinVecs  = 256
)

// joint is a transfer that is not on its way yet. A request that begins where it
// ends is joined to it: one longer transfer costs the kernel and the disk less
// than two.
type joint struct {
	first *request // nil: there is none
	last  *request
	end   int64 // on the disk
	bytes int
}

// begin makes r the one that others are joined to.
func (j *joint) begin(r *request) {
	r.next = nil
	if r.kind == typeFlush || r.alone {
		j.first = nil
		return
	}
	*j = joint{first: r, last: r, end: r.off + int64(r.left), bytes: r.left}
}

// vec is what the transfer moves.
func (j *joint) vec() virtio.Vec {
	if j.first == j.last {
		return j.first.data
	}
	return j.first.joined
}

// add joins r if it fits.
func (j *joint) add(r *request) bool {
	f := j.first
	if f == nil || r.kind != f.kind || r.off != j.end || r.durable != f.durable || r.alone ||
		j.bytes+r.left > joinBytes {
		return false
	}
	if f.next == nil {
		f.joined = append(f.joined[:0], f.data...)
	}
	if len(f.joined)+len(r.data) > joinVecs {
		return false
	}
	f.joined = append(f.joined, r.data...)
	j.last.next, r.next = r, nil
	j.last = r
	j.end += int64(r.left)
	j.bytes += r.left
	return true
}

// completeAll goes on with the requests of one transfer, of which n bytes were
// moved. Those that it did not come to are tried again, each alone, so that an
// error is the answer to nobody but the request that it belongs to.
func (w *worker) completeAll(first *request, n int, err error) {
	// A fault in guest memory can end the second loop: nothing may seem to be under
	// way after that.
	for r := first; r != nil; r = r.next {
		w.flight--
	}
	if first.next == nil {
		w.complete(first, n, err, true)
		return
	}
	for r := first; r != nil; {
		next := r.next
		moved := min(n, r.left)
		if n -= moved; moved > 0 {
			w.complete(r, moved, nil, true)
		} else {
			r.alone = true
			w.wait(r)
		}
		r = next
	}
}

// hold keeps a read that the page cache may have until it is known whether the
// next one is its neighbour.
func (w *worker) hold(r *request) {
	if w.held.add(r) {
		return
	}
	w.readHeld()
	w.held.begin(r)
}

// readHeld reads what was held. What the page cache does not have goes to an
// engine.
func (w *worker) readHeld() {
	j := w.held
	if j.first == nil {
		return
	}
	w.held.first = nil
	n := w.file.TryRead(j.vec(), j.bytes, j.first.off)
	w.pace.didRead(n == j.bytes)
	for r := j.first; r != nil; {
		next := r.next
		moved := min(n, r.left)
		n -= moved
		if moved == r.left {
			r.left = 0
			w.tally.inline++
			if r != j.first {
				w.tally.joined++
			}
			w.finish(r, statusOK)
		} else {
			r.advance(moved)
			w.wait(r)
		}
		r = next
	}
}
