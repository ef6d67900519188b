package vsock

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

// chunkSize is the unit in which buffers grow: a peer that is seldom late costs one.
const chunkSize = 4 << 10

type chunk [chunkSize]byte

// buffer is what a guest has sent and a socket had no room for, first in, first out.
// It has at most two chunks more than its bytes fill: the first and the last may be
// used in part.
type buffer struct {
	chunks []*chunk
	head   int // bytes of the first chunk that were consumed
	n      int
}

// fill appends v from off on. The caller made sure that it may: that is what credit
// means.
func (b *buffer) fill(p *pool, v virtio.Vec, off int) {
	for left := v.Len() - off; left > 0; {
		at := (b.head + b.n) % chunkSize
		if b.head+b.n == len(b.chunks)*chunkSize {
			b.chunks, at = append(b.chunks, p.take()), 0
		}
		last := b.chunks[len(b.chunks)-1]
		n := v.CopyOut(last[at:min(at+left, chunkSize)], off)
		off, left, b.n = off+n, left-n, b.n+n
	}
}

// vec appends the contents to v.
func (b *buffer) vec(v virtio.Vec) virtio.Vec {
	at, left := b.head, b.n
	for _, c := range b.chunks {
		n := min(left, chunkSize-at)
		v = append(v, iovec(c[at:at+n]))
		at, left = 0, left-n
	}
	return v
}

func (b *buffer) consume(p *pool, n int) {
	b.head, b.n = b.head+n, b.n-n
	if b.n == 0 {
		p.drop(b)
		return
	}
	whole := b.head / chunkSize
	for _, c := range b.chunks[:whole] {
		p.give(c)
	}
	left := copy(b.chunks, b.chunks[whole:])
	clear(b.chunks[left:]) // the record of the connection outlives what it points to
	b.chunks = b.chunks[:left]
	b.head %= chunkSize
}

func iovec(p []byte) unix.Iovec {
	return unix.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
}

// pool keeps chunks for the next connections that need some.
type pool struct{ free []*chunk }

// poolSize is the most chunks that are kept: two connections' worth.
const poolSize = 2 * maxCredit / chunkSize

func (p *pool) take() *chunk {
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		return c
	}
	return new(chunk)
}

func (p *pool) give(c *chunk) {
	if len(p.free) < poolSize {
		p.free = append(p.free, c)
	}
}

// drop empties b.
func (p *pool) drop(b *buffer) {
	for _, c := range b.chunks {
		p.give(c)
	}
	clear(b.chunks)
	b.chunks, b.head, b.n = b.chunks[:0], 0, 0
}
