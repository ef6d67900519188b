package vsock

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

// bufferSize is the credit of a connection: how many bytes the guest may have
// sent that no socket has taken. Linux gives as much itself.
const bufferSize = 256 << 10

// buffer is a ring of what a guest has sent and a socket had no room for.
type buffer struct {
	ring    []byte // bufferSize, or nil while it is not needed
	head, n int
}

// fill copies v from off on behind what is there. The caller made sure that it
// fits: that is what credit means.
func (b *buffer) fill(v virtio.Vec, off int) {
	for left := v.Len() - off; left > 0; {
		tail := (b.head + b.n) % len(b.ring)
		end := min(tail+left, len(b.ring))
		n := v.CopyOut(b.ring[tail:end], off)
		off, left, b.n = off+n, left-n, b.n+n
	}
}

// vec appends the contents to v.
func (b *buffer) vec(v virtio.Vec) virtio.Vec {
	first := b.ring[b.head:min(b.head+b.n, len(b.ring))]
	v = append(v, iovec(first))
	if rest := b.n - len(first); rest > 0 {
		v = append(v, iovec(b.ring[:rest]))
	}
	return v
}

func (b *buffer) consume(n int) {
	b.head = (b.head + n) % len(b.ring)
	b.n -= n
	if b.n == 0 {
		b.head = 0 // a peer that is seldom late touches the first pages only
	}
}

func iovec(p []byte) unix.Iovec {
	return unix.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
}

// pool keeps a few rings for the next connection that needs one.
type pool struct{ free [][]byte }

const poolSize = 4

func (p *pool) take(b *buffer) {
	if n := len(p.free); n > 0 {
		b.ring, p.free = p.free[n-1], p.free[:n-1]
	} else {
		b.ring = make([]byte, bufferSize)
	}
	b.head, b.n = 0, 0
}

func (p *pool) give(b *buffer) {
	if b.ring != nil && len(p.free) < poolSize {
		p.free = append(p.free, b.ring)
	}
	*b = buffer{}
}
