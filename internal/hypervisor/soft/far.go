package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// Far jumps, calls and returns. Source: Intel SDM volume 2, CALL, JMP, RET and IRET; volume 3,
// chapter 5.8.

func jmpFar(c *CPU, u *uop) status { return c.farTransfer(u, u.Imm2, uint64(u.Imm), false) }

func callFar(c *CPU, u *uop) status { return c.farTransfer(u, u.Imm2, uint64(u.Imm), true) }

// farPointer is that of CALL, JMP, LSS and such.
func (c *CPU) farPointer(u *uop) (selector uint16, to uint64, ok bool) {
	at := c.address(u)
	if to, ok = c.load(at, u.OperandSize); !ok {
		return 0, 0, false
	}
	v, ok := c.load(c.wrap(at+uint64(u.OperandSize)), 2)
	return uint16(v), to, ok
}

// farTransfer is a far JMP or CALL: to a code segment of the same privilege, or by a call gate.
func (c *CPU) farTransfer(u *uop, selector uint16, to uint64, call bool) status {
	back := c.RIP + uint64(u.Len)
	if c.cr0&cr0PE == 0 {
		return c.farReal(selector, to, back, u.OperandSize, call)
	}
	if selector&^3 == 0 {
		return c.raise(vectorGP)
	}
	s, at, ok := c.descriptor(selector, vectorGP)
	if !ok {
		return faulted
	}
	if !s.is(segmentS) {
		return c.farSystem(&s, selector, at, back, call)
	}
	if !s.is(segmentConforming) && uint8(selector&3) > c.cpl {
		return c.raiseCode(vectorGP, uint32(selector)&^3)
	}
	if s, ok = c.loadCode(selector, c.cpl); !ok {
		return faulted
	}
	return c.farEnter(s, to, back, u.OperandSize, call)
}

// farReal is a far JMP or CALL of real mode.
func (c *CPU) farReal(selector uint16, to, back uint64, n uint8, call bool) status {
	cs := &c.segments[decode.CS]
	if to > uint64(cs.limit) {
		return c.raise(vectorGP)
	}
	if call && !c.pushAllOf(n, uint64(cs.selector), back) {
		return faulted
	}
	cs.selector, cs.base = selector, uint64(selector)<<4
	c.setMode()
	c.RIP = to
	return jumped
}

// pushAllOf pushes values, all or none.
func (c *CPU) pushAllOf(n uint8, values ...uint64) bool {
	before := c.R[rsp]
	for _, v := range values {
		if !c.push(n, v) {
			c.R[rsp] = before
			return false
		}
	}
	return true
}

// farEnter enters a code segment at the same privilege.
func (c *CPU) farEnter(s segment, to, back uint64, n uint8, call bool) status {
	if !c.farReachable(&s, to) {
		return c.raise(vectorGP)
	}
	if call && !c.pushAllOf(n, uint64(c.segments[decode.CS].selector), back) {
		return faulted
	}
	c.setCode(s, c.cpl)
	return c.jump(to)
}

// farReachable reports whether an offset lies within a code segment.
func (c *CPU) farReachable(s *segment, to uint64) bool {
	if c.efer&eferLMA != 0 && s.is(segmentLong) {
		return isCanonical(to)
	}
	return to <= uint64(s.limit)
}

// Types of system segments and gates.
const (
	typeTSS16     = 1
	typeLDT       = 2
	typeTSS16Busy = 3
	typeCall16    = 4
	typeTask      = 5
	typeGate16    = 6 // an interrupt gate; 7 is a trap gate
	typeTSS       = 9
	typeTSSBusy   = 11
	typeCall      = 12
)

// farSystem is a JMP or CALL to what is no code segment: a call gate, or a task.
func (c *CPU) farSystem(s *segment, selector uint16, at, back uint64, call bool) status {
	code := uint32(selector) &^ 3
	kind, long := s.attr&15, c.efer&eferLMA != 0
	gate := kind == typeCall || kind == typeCall16 && !long
	task := !long && (kind == typeTSS || kind == typeTSS16 || kind == typeTask)
	switch {
	case !gate && !task, s.dpl() < max(c.cpl, uint8(selector&3)):
		return c.raiseCode(vectorGP, code)
	case !s.is(segmentPresent):
		return c.raiseCode(vectorNP, code)
	case task:
		return c.unsupportedHere("a task switch")
	}
	return c.callGate(selector, at, back, kind, call)
}

// callGate enters the code that a call gate names.
func (c *CPU) callGate(selector uint16, at, back uint64, kind uint16, call bool) status {
	d, ok := c.system8(at)
	if !ok {
		return faulted
	}
	to, size := d&0xFFFF|d>>32&0xFFFF_0000, uint8(4)
	long := c.efer&eferLMA != 0
	if kind == typeCall16 {
		to, size = to&0xFFFF, 2
	}
	if long {
		high, ok := c.gateHigh(selector, at)
		if !ok {
			return faulted
		}
		to, size = to|high<<32, 8
	}
	target := uint16(d >> 16)
	c.ext = 0
	s, ok := c.handlerCode(target, long)
	if !ok {
		return faulted
	}
	if !call && !s.is(segmentConforming) && s.dpl() != c.cpl {
		return c.raiseCode(vectorGP, uint32(target)&^3)
	}
	if call && !s.is(segmentConforming) && s.dpl() < c.cpl {
		return c.callInner(s, to, back, size, int(d>>32&31))
	}
	return c.farEnter(s, to, back, size, call)
}

// gateHigh is the upper half of a gate of long mode.
func (c *CPU) gateHigh(selector uint16, at uint64) (uint64, bool) {
	code := uint32(selector) &^ 3
	limit := uint32(c.gdt.Limit)
	if selector&4 != 0 {
		limit = c.ldt.limit
	}
	if uint32(selector)|7+8 > limit {
		c.raiseCode(vectorGP, code)
		return 0, false
	}
	high, ok := c.system8(at + 8)
	if ok && high>>40&0x1F != 0 {
		c.raiseCode(vectorGP, code)
		return 0, false
	}
	return high, ok
}

// callInner is a CALL by a gate to more privilege: on the stack of the task, with so many parameters
// of the caller's.
func (c *CPU) callInner(s segment, to, back uint64, n uint8, parameters int) status {
	cpl := s.dpl()
	f := frame{cpl: cpl, size: n, ss: c.segments[decode.SS]}
	values := []uint64{uint64(f.ss.selector), c.R[rsp]}
	if !c.innerStack(&f, 0) {
		return faulted
	}
	if n != 8 && parameters > 0 {
		copied := make([]uint64, parameters)
		if !c.popped(copied, 0, n) {
			return faulted
		}
		for i := parameters - 1; i >= 0; i-- {
			values = append(values, copied[i])
		}
	}
	if !c.farReachable(&s, to) {
		return c.raise(vectorGP)
	}
	if !c.pushFrame(&f, append(values, uint64(c.segments[decode.CS].selector), back)) {
		return faulted
	}
	c.takeStack(&f)
	c.setCode(s, cpl)
	return c.jump(to)
}

// retFar is RETF to the same privilege or a lesser one.
func retFar(c *CPU, u *uop) status {
	n, extra := u.OperandSize, uint64(u.Imm)
	var v [2]uint64 // RIP, CS
	if !c.popped(v[:], 0, n) {
		return faulted
	}
	if c.cr0&cr0PE == 0 {
		if v[0] > uint64(c.segments[decode.CS].limit) {
			return c.raise(vectorGP)
		}
		c.setStack(c.R[rsp] + 2*uint64(n) + extra)
		return c.farReal(uint16(v[1]), v[0], 0, n, false)
	}
	r := farReturn{ip: v[0], cs: uint16(v[1]), drop: 2*uint64(n) + extra}
	if r.outer = uint8(r.cs&3) > c.cpl; r.outer {
		var stack [2]uint64
		if !c.popped(stack[:], r.drop, n) {
			return faulted
		}
		r.sp, r.ss = stack[0]+extra, uint16(stack[1])
	}
	return c.returnTo(&r)
}

// farReturn is what RETF and IRET have found on the stack.
type farReturn struct {
	ip     uint64
	cs     uint16
	outer  bool // the stack changes, to sp and ss
	sp     uint64
	ss     uint16
	drop   uint64 // else: how much the return takes off the stack
	rflags *uint64
}

// returnTo returns. Where that is a fault nothing has changed.
func (c *CPU) returnTo(r *farReturn) status {
	cpl := uint8(r.cs & 3)
	if r.cs&^3 == 0 {
		return c.raise(vectorGP)
	}
	if cpl < c.cpl {
		return c.raiseCode(vectorGP, uint32(r.cs)&^3)
	}
	code, ok := c.loadCode(r.cs, cpl)
	if !ok {
		return faulted
	}
	if !c.farReachable(&code, r.ip) {
		return c.raise(vectorGP)
	}
	long := c.efer&eferLMA != 0 && code.is(segmentLong)
	if r.outer {
		stack, st := c.returnStack(r.ss, cpl, long)
		if st != next {
			return st
		}
		c.segments[decode.SS] = stack
		switch {
		case long:
			c.R[rsp] = r.sp
		case stack.is(segmentBig):
			c.R[rsp] = r.sp & 0xFFFF_FFFF
		default: // the rest of ESP stays
			c.R[rsp] = c.R[rsp]&0xFFFF_0000 | r.sp&0xFFFF
		}
	} else {
		c.setStack(c.R[rsp] + r.drop)
	}
	was := c.cpl
	c.setCode(code, cpl)
	if cpl > was {
		c.dropSegments()
	}
	if r.rflags != nil {
		c.setFlags(*r.rflags)
	}
	return c.jump(r.ip)
}

// returnStack is the stack segment of a return.
func (c *CPU) returnStack(selector uint16, cpl uint8, long bool) (segment, status) {
	code := uint32(selector) &^ 3
	if code == 0 {
		if !long || cpl == 3 || uint8(selector&3) != cpl {
			return segment{}, c.raise(vectorGP)
		}
		return segment{selector: selector, attr: uint16(cpl) << 5}, next
	}
	s, at, ok := c.descriptor(selector, vectorGP)
	switch {
	case !ok:
		return s, faulted
	case uint8(selector&3) != cpl, s.dpl() != cpl, !s.is(segmentS | segmentWrite), s.is(segmentCode):
		return s, c.raiseCode(vectorGP, code)
	case !s.is(segmentPresent):
		return s, c.raiseCode(vectorSS, code)
	case !c.accessed(&s, at):
		return s, faulted
	}
	return s, next
}

// dropSegments empties data segments of more privilege than that of a return.
func (c *CPU) dropSegments() {
	for _, to := range []decode.Seg{decode.ES, decode.DS, decode.FS, decode.GS} {
		s := &c.segments[to]
		if s.selector&^3 == 0 || s.is(segmentPresent) && s.dpl() < c.cpl && !s.is(segmentCode|segmentConforming) {
			base := s.base
			*s = segment{}
			if to >= decode.FS {
				s.base = base // as processors of today have it
			}
			c.setBase(to)
		}
	}
}
