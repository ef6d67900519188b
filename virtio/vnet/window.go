package vnet

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

// maxIov is the most pieces that one readv or sendmsg takes (UIO_MAXIOV).
const maxIov = 1024

// window are chains for frames to come, taken from the ring ahead of them, and
// their buffers one behind the other: a frame is read into as many as it needs
// at once.
type window struct {
	q     *virtio.Queue
	merge bool // a frame may take several chains

	held []virtio.Chain // ring of chains, as many as the queue has descriptors
	size []int          // bytes of each
	head int
	n    int
	sum  int // bytes of all

	iov        []unix.Iovec // those of the held chains are iov[start:end]
	start, end int

	push    []*virtio.Chain // set aside
	written []int
}

func newWindow(q *virtio.Queue, merge bool) *window {
	n := q.Size()
	return &window{q: q, merge: merge, held: make([]virtio.Chain, n), size: make([]int, n), iov: make([]unix.Iovec, 2*maxIov+2),
		push: make([]*virtio.Chain, 0, n), written: make([]int, 0, n)}
}

// fill takes chains until they have want bytes, or one chain where a frame may
// take no more. It tells whether there is any.
func (w *window) fill(want int) bool {
	for empty := 0; w.n+len(w.push) < len(w.held) && empty <= len(w.held); {
		if w.n > 0 && (!w.merge || w.sum >= want || w.end-w.start >= maxIov) {
			break
		}
		i := (w.head + w.n) % len(w.held)
		c := &w.held[i]
		if !w.q.Pop(c) {
			break
		}
		size := c.In.Len()
		if size < headerSize {
			w.q.Push(c, 0) // of no use for any frame
			empty++
			continue
		}
		w.append(c.In)
		w.size[i] = size
		w.n++
		w.sum += size
	}
	return w.n > 0
}

func (w *window) append(v virtio.Vec) {
	if w.end+len(v) > len(w.iov)-1 { // one stays free behind the last, for the bounce buffer
		w.end = copy(w.iov, w.iov[w.start:w.end])
		w.start = 0
	}
	if w.end+len(v) > len(w.iov)-1 { // fill takes no chain behind so many; each has MaxChain at most
		panic("vnet: more pieces than a window holds")
	}
	w.end += copy(w.iov[w.end:], v)
}

// vec are the buffers of all held chains.
func (w *window) vec() virtio.Vec { return virtio.Vec(w.iov[w.start:w.end]) }

// reach is how many pieces hold the first want bytes, how many bytes these have,
// and no more than a readv takes beside the bounce buffer.
func (w *window) reach(want int) (pieces, bytes int) {
	most := w.end - w.start
	if !w.merge {
		most = len(w.held[w.head].In)
	}
	for pieces < min(most, maxIov-1) && bytes < want {
		bytes += int(w.iov[w.start+pieces].Len)
		pieces++
	}
	return pieces, bytes
}

// room is how long a frame with its header may be for the held chains.
func (w *window) room() int {
	if w.n == 0 {
		return 0
	}
	if !w.merge {
		return w.size[w.head]
	}
	return w.sum
}

// full tells whether fill would take no more chains.
func (w *window) full() bool {
	return w.n+len(w.push) == len(w.held) || w.n > 0 && (!w.merge || w.end-w.start >= maxIov)
}

// give sets the first chains aside for the driver, with a frame of n bytes in them,
// the header included.
func (w *window) give(n int) {
	first := len(w.push)
	for rest := n; rest > 0; {
		part := min(rest, w.size[w.head])
		w.push = append(w.push, &w.held[w.head])
		w.written = append(w.written, part)
		rest -= part
		w.drop()
	}
	count := len(w.push) - first
	putCount(w.push[first], [2]byte{byte(count), byte(count >> 8)})
}

// publish gives the driver what was set aside.
func (w *window) publish() {
	w.q.PushAll(w.push, w.written)
	w.push, w.written = w.push[:0], w.written[:0]
}

// putCount writes num_buffers.
func putCount(c *virtio.Chain, count [2]byte) {
	if v := c.In; v[0].Len >= headerSize {
		*(*[2]byte)(unsafe.Add(unsafe.Pointer(v[0].Base), numBuffersAt)) = count
		return
	}
	c.In.CopyIn(count[:], numBuffersAt) // the chain has 12 bytes: fill saw to it
}

// drop forgets the first chain.
func (w *window) drop() {
	w.start += len(w.held[w.head].In)
	w.sum -= w.size[w.head]
	w.head = (w.head + 1) % len(w.held)
	w.n--
	if w.n == 0 {
		w.start, w.end = 0, 0
	}
}

// restore puts all held chains back into the ring.
func (w *window) restore() {
	for ; w.n > 0; w.n-- {
		w.q.Unpop(&w.held[(w.head+w.n-1)%len(w.held)])
	}
	w.sum, w.start, w.end = 0, 0, 0
}

func pieceOf(p []byte) unix.Iovec {
	return unix.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
}
