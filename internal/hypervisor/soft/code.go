package soft

import (
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// maxCodePages and maxKept bound what is kept, of pages and of instructions, to some 25 MiB: beyond it
// all is forgotten, and decoded anew.
const (
	maxCodePages = 1024
	maxKept      = 300_000
)

// codeCache keeps decoded instructions by where they lie in guest-physical memory, and by the
// mode that they were decoded for.
type codeCache struct {
	pages map[uint64]*codePage
	kept  int // instructions, with those that were forgotten with their page
	// epoch counts interrupts, exceptions and flushes of the TLB: between two of them no guest begins
	// to execute what a device has written to memory.
	epoch uint64
	// The page that is executed: its linear address and 1, and the mode.
	at   uint64
	mode decode.Mode
	page *codePage
}

// codePage is a page's instructions. Those that reach into the next page are not kept.
type codePage struct {
	uops     []uop
	index    [pageSize]uint16      // of uops, by the offset of the first byte, and 1; 0: not decoded
	bytes    [pageSize / 64]uint64 // a bit for each byte of an instruction
	mode     decode.Mode
	epoch    uint64 // in which bytes were found to be those of snapshot
	snapshot [pageSize]byte
}

// stale tells whether others than this processor, which is devices, have written to a page.
func (k *codeCache) stale(p *codePage, now *[pageSize]byte) bool {
	if p.epoch == k.epoch {
		return false
	}
	p.epoch = k.epoch
	return p.snapshot != *now
}

// has tells whether a physical page has instructions.
func (k *codeCache) has(phys uint64) bool {
	_, ok := k.pages[phys/pageSize]
	return ok
}

// forget forgets all instructions.
func (k *codeCache) forget() {
	k.pages, k.kept = map[uint64]*codePage{}, 0
	k.leave()
}

// leave has the next instruction look anew where it is.
func (k *codeCache) leave() { k.at, k.page = 0, nil }

// written forgets the instructions of a page of which some bytes are written. A store is at
// most 8 bytes; those that were decoded from other bytes are forgotten too, with the page.
func (k *codeCache) written(phys uint64) {
	p := k.pages[phys/pageSize]
	if p == nil {
		return
	}
	first := phys & (pageSize - 1)
	for at := first; at < min(first+8, pageSize); at++ {
		if p.bytes[at/64]&(1<<(at%64)) != 0 {
			delete(k.pages, phys/pageSize)
			k.leave()
			return
		}
	}
}

// enter makes the page at a linear address that which is executed. The bytes are fetched by it.
func (c *CPU) enter(addr uint64) bool {
	e := &c.tlb[c.user()][addr/pageSize%tlbSize]
	phys, ok := c.translate(addr, accessFetch) // NX is not in the TLB, so each time
	if !ok {
		return false
	}
	if e.tag != addr&^(pageSize-1)|1 {
		if e = c.fill(addr, accessFetch); e == nil {
			c.raise(vectorGP) // instructions lie in memory
			return false
		}
	}
	k := &c.code
	number := phys / pageSize
	p := k.pages[number]
	if p == nil || p.mode != c.mode || k.stale(p, e.page) {
		if len(k.pages) >= maxCodePages || k.kept >= maxKept || k.pages == nil {
			k.forget()
		}
		p = &codePage{mode: c.mode, epoch: k.epoch, snapshot: *e.page}
		k.pages[number] = p
		c.protect(phys &^ (pageSize - 1))
	}
	k.at, k.mode, k.page = addr&^(pageSize-1)|1, c.mode, p
	return true
}

// protect takes write access from a page's translations: it has become code.
func (c *CPU) protect(phys uint64) {
	for i := range c.tlb {
		for j := range c.tlb[i] {
			if e := &c.tlb[i][j]; e.phys == phys {
				e.write = false
			}
		}
	}
}

// instruction is the one at RIP, decoded; nil: c.fault is set.
func (c *CPU) instruction() *uop {
	addr := c.linear()
	k := &c.code
	if k.at != addr&^(pageSize-1)|1 || k.mode != c.mode {
		if !c.enter(addr) {
			return nil
		}
	}
	off := addr & (pageSize - 1)
	if i := k.page.index[off]; i != 0 {
		return &k.page.uops[i-1]
	}
	return c.decodeAt(addr, k.page)
}

// linear is the linear address of RIP.
func (c *CPU) linear() uint64 {
	if c.mode == decode.Mode64 {
		return c.RIP
	}
	return (c.bases[decode.CS] + c.RIP) & 0xFFFF_FFFF
}

// decodeAt decodes the instruction at an address of the page that is executed.
func (c *CPU) decodeAt(addr uint64, p *codePage) *uop {
	e := &c.tlb[c.user()][addr/pageSize%tlbSize]
	if e.tag != addr&^(pageSize-1)|1 {
		if e = c.fill(addr, accessFetch); e == nil {
			return nil
		}
	}
	off := addr & (pageSize - 1)
	in, err := decode.Decode(e.page[off:], c.mode)
	if err == decode.ErrShort {
		return c.decodeAcross(addr, e.page[off:])
	}
	if err != nil {
		c.fault = faultOf(err)
		return nil
	}
	if c.code.kept++; c.code.kept >= maxKept {
		c.code.leave() // enter forgets
	}
	p.uops = append(p.uops, newUop(in))
	p.index[off] = uint16(len(p.uops))
	for at := off; at < off+uint64(in.Len); at++ {
		p.bytes[at/64] |= 1 << (at % 64)
	}
	return &p.uops[len(p.uops)-1]
}

// decodeAcross decodes an instruction that reaches into the next page.
func (c *CPU) decodeAcross(addr uint64, first []byte) *uop {
	behind := c.wrap(addr&^(pageSize-1) + pageSize)
	if _, ok := c.translate(behind, accessFetch); !ok {
		return nil
	}
	b := c.bytes(behind, decode.MaxLength, accessFetch)
	if b == nil {
		c.raise(vectorGP)
		return nil
	}
	var both [2 * decode.MaxLength]byte
	n := copy(both[:], first)
	in, err := decode.Decode(both[:n+copy(both[n:], b)], c.mode)
	if err != nil {
		c.fault = faultOf(err)
		return nil
	}
	c.code.leave() // the next page's bytes may change unseen: nothing of it is kept
	u := newUop(in)
	return &u
}
