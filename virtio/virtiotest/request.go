package virtiotest

import (
	"encoding/binary"

	"github.com/mayfly-vm/mayfly/memory"
)

// Desc is a descriptor as it stands in a table (section 2.7.5), without what says
// which side a packed one belongs to.
type Desc struct {
	Addr  memory.Addr
	Len   uint32
	Flags uint16 // Next, Write, Indirect
	Next  uint16 // split rings only
}

// Flags of descriptors.
const (
	Next     = 1
	Write    = 2
	Indirect = 4

	availFlag = 1 << 7
	usedFlag  = 1 << 15
)

// Request is a chain of buffers.
type Request struct {
	q       *Queue
	bufs    []buffer
	descs   []Desc // what goes into the ring
	table   buffer // the indirect table, if it has one
	kept    bool   // from Prepare: its memory stays its own
	busy    bool
	id      uint16
	written uint32
	in      []byte // of one that was not kept
}

type buffer struct {
	addr  memory.Addr
	p     []byte
	write bool
}

// Written is how many bytes the device says it wrote.
func (r *Request) Written() int { return int(r.written) }

// In are all writable bytes, concatenated.
func (r *Request) In() []byte {
	if !r.kept && !r.busy {
		return r.in
	}
	var in []byte
	for i := range r.bufs {
		if r.bufs[i].write {
			in = append(in, r.bufs[i].p...)
		}
	}
	return in
}

// Out is the guest memory of readable buffer i.
func (r *Request) Out(i int) []byte { return r.bufs[i].p }

// Done tells whether the device has given the request back.
func (r *Request) Done() bool { return !r.busy }

// Prepare makes a request to be submitted again and again.
func (q *Queue) Prepare(out [][]byte, in []int) *Request {
	q.d.t.Helper()
	r := q.build(out, in)
	r.kept = true
	return r
}

// Add makes the request available: out is copied to guest memory, in are the
// lengths of the writable buffers.
func (q *Queue) Add(out [][]byte, in []int) *Request {
	q.d.t.Helper()
	r := q.build(out, in)
	q.Submit(r)
	return r
}

// AddRaw makes available what descs say, be it nonsense. In a split ring a Next
// that is an index into descs is made to point to that entry, any other is left;
// flags are taken as they are.
func (q *Queue) AddRaw(descs []Desc) *Request {
	q.d.t.Helper()
	r := &Request{q: q, descs: append([]Desc(nil), descs...)}
	q.Submit(r)
	return r
}

// Table writes descs to guest memory as an indirect table of the kind that the
// driver's rings have, and returns its address.
func (d *Driver) Table(descs []Desc) memory.Addr {
	d.t.Helper()
	addr, p := d.Alloc(16 * len(descs))
	putTable(p, descs, d.packed())
	return addr
}

func putTable(p []byte, descs []Desc, packed bool) {
	for i, s := range descs {
		e := p[16*i:]
		binary.LittleEndian.PutUint64(e, uint64(s.Addr))
		binary.LittleEndian.PutUint32(e[8:], s.Len)
		if packed {
			binary.LittleEndian.PutUint16(e[12:], 0)
			binary.LittleEndian.PutUint16(e[14:], s.Flags)
			continue
		}
		binary.LittleEndian.PutUint16(e[12:], s.Flags)
		binary.LittleEndian.PutUint16(e[14:], s.Next)
	}
}

func (q *Queue) build(out [][]byte, in []int) *Request {
	q.d.t.Helper()
	r := &Request{q: q}
	add := func(n int, write bool) []byte {
		addr, p := q.d.heap.alloc(q.d.t, n)
		r.bufs = append(r.bufs, buffer{addr, p, write})
		s := Desc{Addr: addr, Len: uint32(n), Flags: Next, Next: uint16(len(r.bufs))}
		if write {
			s.Flags |= Write
		}
		r.descs = append(r.descs, s)
		return p
	}
	for _, o := range out {
		copy(add(len(o), false), o)
	}
	for _, n := range in {
		clear(add(n, true))
	}
	n := len(r.descs)
	if n == 0 {
		q.d.t.Fatal("a request has at least one buffer")
	}
	r.descs[n-1].Flags &^= Next
	r.descs[n-1].Next = 0
	if n > 1 && !q.d.opts.NoIndirect {
		addr, p := q.d.heap.alloc(q.d.t, 16*n)
		putTable(p, r.descs, q.d.packed())
		r.table = buffer{addr: addr, p: p}
		r.descs = []Desc{{Addr: addr, Len: uint32(16 * n), Flags: Indirect}}
	}
	return r
}

// finish takes back what the device has done with.
func (r *Request) finish(written uint32) {
	r.written = written
	if r.kept {
		r.busy = false
		return
	}
	r.in = r.In()
	r.busy = false
	h := r.q.d.heap
	for _, b := range r.bufs {
		h.release(b.addr, len(b.p))
	}
	if r.table.p != nil {
		h.release(r.table.addr, len(r.table.p))
	}
}
