package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// segment is a segment register with its hidden part. attr has the descriptor's bits 40 to 55
// without the limit's: type, S, DPL, P, AVL, L, D/B and G in bits 0 to 3, 4, 5 and 6, 7, 12, 13,
// 14 and 15.
type segment struct {
	selector uint16
	attr     uint16
	limit    uint32
	base     uint64
}

// Bits of a segment's attr.
const (
	segmentAccessed   = 1 << 0
	segmentWrite      = 1 << 1 // data; of code: it can be read
	segmentConforming = 1 << 2 // code; of data: it grows downwards
	segmentCode       = 1 << 3
	segmentS          = 1 << 4 // code or data
	segmentPresent    = 1 << 7
	segmentLong       = 1 << 13
	segmentBig        = 1 << 14
	segmentGranular   = 1 << 15
)

func (s *segment) dpl() uint8 { return uint8(s.attr >> 5 & 3) }

func (s *segment) is(bits uint16) bool { return s.attr&bits == bits }

// segmentOf reads a descriptor's 8 bytes.
func segmentOf(selector uint16, d uint64) segment {
	s := segment{
		selector: selector, attr: uint16(d>>40) & 0xF0FF,
		limit: uint32(d&0xFFFF | d>>32&0xF_0000), base: d>>16&0xFF_FFFF | d>>32&0xFF00_0000,
	}
	if s.is(segmentGranular) {
		s.limit = s.limit<<12 | 0xFFF
	}
	return s
}

// descriptor reads a selector's entry from the GDT or LDT, as the processor does: at its own
// privilege. ok is false where that is a fault, with the selector.
func (c *CPU) descriptor(selector uint16, vector uint8) (s segment, at uint64, ok bool) {
	base, limit := c.gdt.Base, uint32(c.gdt.Limit)
	if selector&4 != 0 {
		base, limit = c.ldt.base, c.ldt.limit
	}
	if uint32(selector)|7 > limit || selector&4 != 0 && c.ldt.selector&^3 == 0 {
		c.raiseCode(vector, uint32(selector)&^3)
		return segment{}, 0, false
	}
	at = base + uint64(selector&^7)
	d, ok := c.system8(at)
	return segmentOf(selector, d), at, ok
}

// system8 reads 8 bytes of a table.
func (c *CPU) system8(at uint64) (uint64, bool) { return c.systemLoad(at, 8) }

// systemLoad reads n bytes, 8 at most, of a table that the processor reads at its own privilege.
func (c *CPU) systemLoad(at uint64, n uint8) (uint64, bool) {
	c.implicit = true
	v, ok := c.load(at, n)
	c.implicit = false
	return v, ok
}

// setDescriptor sets bits in the byte of the descriptor at an address that has its type.
func (c *CPU) setDescriptor(at uint64, bits uint64) bool {
	v, ok := c.systemLoad(at+5, 1)
	if !ok {
		return false
	}
	c.implicit = true
	ok = c.store(at+5, 1, v|bits)
	c.implicit = false
	return ok
}

// accessed sets a descriptor's accessed bit.
func (c *CPU) accessed(s *segment, at uint64) bool {
	if s.is(segmentAccessed) {
		return true
	}
	s.attr |= segmentAccessed
	return c.setDescriptor(at, segmentAccessed)
}

// loadSegment loads a data or stack segment.
func (c *CPU) loadSegment(to decode.Seg, selector uint16) status {
	if c.cr0&cr0PE == 0 {
		c.segments[to].selector, c.segments[to].base = selector, uint64(selector)<<4
		c.setMode()
		return next
	}
	code := uint32(selector) &^ 3
	if code == 0 {
		if to == decode.SS && (c.mode != decode.Mode64 || c.cpl == 3 || uint8(selector&3) != c.cpl) {
			return c.raise(vectorGP)
		}
		c.segments[to] = segment{selector: selector, attr: c.segments[to].attr & segmentBig}
		c.setBase(to)
		return next
	}
	s, at, ok := c.descriptor(selector, vectorGP)
	if !ok {
		return faulted
	}
	rpl, missing := uint8(selector&3), uint8(vectorNP)
	if to == decode.SS {
		missing = vectorSS
		if rpl != c.cpl || s.dpl() != c.cpl || !s.is(segmentS|segmentWrite) || s.is(segmentCode) {
			return c.raiseCode(vectorGP, code)
		}
	} else if !s.is(segmentS) || s.is(segmentCode) && !s.is(segmentWrite) || !s.is(segmentCode|segmentConforming) && (rpl > s.dpl() || c.cpl > s.dpl()) {
		return c.raiseCode(vectorGP, code)
	}
	if !s.is(segmentPresent) {
		return c.raiseCode(missing, code)
	}
	if !c.accessed(&s, at) {
		return faulted
	}
	c.segments[to] = s
	c.setBase(to)
	return next
}

// setBase has addresses begin at a segment's base.
func (c *CPU) setBase(to decode.Seg) {
	s := &c.segments[to]
	switch {
	case c.mode != decode.Mode64:
		if c.bases[to] = s.base & 0xFFFF_FFFF; !s.open() {
			c.bases[to] |= uint64(to+1) << markShift
		}
	case to < decode.FS:
		c.bases[to] = 0
	default:
		c.bases[to] = s.base
	}
}

// loadCode loads the code segment for a far jump or return, at a privilege. selector has been
// checked where it came from a gate.
func (c *CPU) loadCode(selector uint16, cpl uint8) (segment, bool) {
	code := uint32(selector) &^ 3
	if code == 0 {
		c.raise(vectorGP)
		return segment{}, false
	}
	s, at, ok := c.descriptor(selector, vectorGP)
	if !ok {
		return segment{}, false
	}
	switch {
	case !s.is(segmentS | segmentCode), s.is(segmentLong|segmentBig) && c.efer&eferLMA != 0,
		!s.is(segmentConforming) && s.dpl() != cpl, s.is(segmentConforming) && s.dpl() > cpl:
		c.raiseCode(vectorGP, code)
		return segment{}, false
	case !s.is(segmentPresent):
		c.raiseCode(vectorNP, code)
		return segment{}, false
	}
	return s, c.accessed(&s, at)
}

// setCode enters a code segment.
func (c *CPU) setCode(s segment, cpl uint8) {
	s.selector = s.selector&^3 | uint16(cpl)
	c.segments[decode.CS], c.cpl = s, cpl
	c.setMode()
}

// movFromSegment and movToSegment are MOV with a segment register.
func movFromSegment(c *CPU, u *uop) status {
	n := u.OperandSize
	if u.Mem {
		n = 2
	}
	if !c.setRM(u, n, uint64(c.segments[u.Reg&7].selector)) {
		return faulted
	}
	return next
}

func movToSegment(c *CPU, u *uop) status {
	v, ok := c.rm(u, 2)
	if !ok {
		return faulted
	}
	return c.loadSegmentOf(decode.Seg(u.Reg&7), uint16(v))
}

// loadSegmentOf is loadSegment of MOV and POP: after SS interrupts are held back.
func (c *CPU) loadSegmentOf(to decode.Seg, selector uint16) status {
	s := c.loadSegment(to, selector)
	if s == next && to == decode.SS {
		c.shadow, c.shadowStack = true, true
		c.attend.Store(true)
	}
	return s
}

// segmentOfOpcode is the segment register that PUSH and POP name.
func segmentOfOpcode(u *uop) decode.Seg { return decode.Seg(u.Opcode >> 3 & 7) } // 06 … 1F; 0F A0 is FS, 0F A8 GS

func pushSegment(c *CPU, u *uop) status {
	return c.pushed(u, uint64(c.segments[segmentOfOpcode(u)].selector))
}

func popSegment(c *CPU, u *uop) status {
	v, ok := c.load(c.stackAt(c.R[rsp]), u.OperandSize)
	if !ok {
		return faulted
	}
	top := withStack(c.R[rsp], c.R[rsp]+uint64(u.OperandSize), c.stackMask())
	s := c.loadSegmentOf(segmentOfOpcode(u), uint16(v))
	if s == next {
		c.R[rsp] = top // as wide as the stack of before was
	}
	return s
}

func (c *CPU) loadLDT(selector uint16) status {
	if selector&^3 == 0 {
		c.ldt = segment{selector: selector}
		return next
	}
	s, st := c.systemSegment(selector, typeLDT)
	if st == next {
		c.ldt = s
	}
	return st
}

func (c *CPU) loadTR(selector uint16) status {
	s, st := c.systemSegment(selector, typeTSS)
	if st != next {
		return st
	}
	const busy = typeTSSBusy &^ typeTSS
	if !c.setDescriptor(c.gdt.Base+uint64(selector&^7), busy) {
		return faulted
	}
	s.attr |= busy
	c.tr = s
	return next
}

// systemSegment reads a descriptor of the GDT, of 16 bytes in long mode. A TSS may have 16 bits
// outside of it.
func (c *CPU) systemSegment(selector uint16, kind uint16) (segment, status) {
	code := uint32(selector) &^ 3
	if selector&^3 == 0 || selector&4 != 0 {
		return segment{}, c.raiseCode(vectorGP, code)
	}
	s, at, ok := c.descriptor(selector, vectorGP)
	if !ok {
		return segment{}, faulted
	}
	long := c.efer&eferLMA != 0
	if s.attr&0x1F != kind && (long || kind != typeTSS || s.attr&0x1F != typeTSS16) {
		return segment{}, c.raiseCode(vectorGP, code)
	}
	if !s.is(segmentPresent) {
		return segment{}, c.raiseCode(vectorNP, code)
	}
	if long {
		high, ok := c.gateHigh(selector, at)
		if !ok {
			return segment{}, faulted
		}
		if s.base |= high << 32; !isCanonical(s.base) {
			return segment{}, c.raiseCode(vectorGP, code)
		}
	}
	return s, next
}
