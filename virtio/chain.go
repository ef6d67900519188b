package virtio

import (
	"errors"
	"unsafe"

	"github.com/mayfly-vm/mayfly/memory"
)

// MaxQueueSize is the greatest size of a queue that a device may offer. The
// specification allows 32768; beyond this a driver gains nothing, and each queue
// may hold as many Chains as its size.
const MaxQueueSize = 1024

// MaxChain is the greatest number of buffers in one chain, those of an indirect
// table included: more than this no readv takes (UIO_MAXIOV). A longer chain is
// the driver's error.
const MaxChain = 1024

// MaxChainBytes is the most bytes in the buffers of one chain (section 2.7.5.2 caps it at 2^32).
const MaxChainBytes = 1 << 32

// Chain is a request: the checked copy of a descriptor chain. A device keeps as
// many as it has requests under way and uses them again and again; their storage
// stays.
type Chain struct {
	// Out is what the driver wrote for the device, In is where the device answers.
	Out, In Vec

	id    uint16 // head of the split chain, or the packed buffer id
	count uint16 // descriptors that the chain took in the ring
}

// A descriptor is one entry of a descriptor table: 16 bytes, in a split ring
// (section 2.7.5) addr, len, flags, next; in a packed ring (section 2.8.13) addr,
// len, id, flags.
type descriptor struct {
	addr  uint64
	len   uint32
	flags uint16
	next  uint16 // or id
}

const descSize = 16

// Flags of descriptors.
const (
	descNext     = 1 << 0
	descWrite    = 1 << 1
	descIndirect = 1 << 2
	descAvail    = 1 << 7  // packed only
	descUsed     = 1 << 15 // packed only
)

// chainReader puts one chain together, descriptor by descriptor. It is the one
// place where what a driver says about its buffers is believed or not.
type chainReader struct {
	mem   *memory.Map
	chain *Chain
	total uint64
	count int // buffers so far
}

func (r *chainReader) begin(mem *memory.Map, c *Chain) {
	*r = chainReader{mem: mem, chain: c}
	c.Out, c.In = c.Out[:0], c.In[:0]
}

// add takes one buffer.
func (r *chainReader) add(d *descriptor) error {
	if r.count++; r.count > MaxChain {
		return errTooLong
	}
	write := d.flags&descWrite != 0
	if !write && len(r.chain.In) > 0 {
		return errOrder
	}
	if d.len == 0 {
		return nil // nothing to read or write; some drivers send such
	}
	if r.total += uint64(d.len); r.total > MaxChainBytes {
		return errTooBig
	}
	p, err := r.mem.Slice(memory.Addr(d.addr), uint64(d.len))
	if err != nil {
		return err
	}
	if write {
		r.chain.In = append(r.chain.In, iovec(p))
	} else {
		r.chain.Out = append(r.chain.Out, iovec(p))
	}
	return nil
}

// table checks the descriptor of an indirect table (section 2.7.5.3) and returns
// the host memory behind it and the number of its entries.
func (r *chainReader) table(d *descriptor) (unsafe.Pointer, int, error) {
	switch {
	case d.len == 0 || d.len%descSize != 0:
		return nil, 0, errTableSize
	case d.len/descSize > MaxChain:
		return nil, 0, errTooLong
	}
	p, err := r.mem.Slice(memory.Addr(d.addr), uint64(d.len))
	if err != nil {
		return nil, 0, err
	}
	return unsafe.Pointer(unsafe.SliceData(p)), int(d.len / descSize), nil
}

// What a driver can do wrong with its rings.
var (
	errTooLong   = errors.New("a descriptor chain is too long or has a loop")
	errTooBig    = errors.New("the buffers of a chain are longer than 4 GiB")
	errOrder     = errors.New("a readable buffer comes behind a writable one")
	errTableSize = errors.New("the length of an indirect table is 0 or no multiple of 16")
	errNested    = errors.New("an indirect table in an indirect table")
	errIndirect  = errors.New("an indirect table that was not negotiated, or with a next descriptor")
	errHead      = errors.New("the index of a descriptor is outside the table")
	errIndex     = errors.New("the available index is further ahead than the queue is long")
)
