package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// Interrupts of 32-bit protected mode. Source: Intel SDM volume 3, chapter 6.12.

// interrupt32 enters the handler of a vector by an IDT of 32-bit gates.
func (c *CPU) interrupt32(vector uint8, errorCode uint32, withCode bool, from origin) bool {
	code := uint32(vector)<<3 | 2
	if from == external {
		code |= 1
	}
	if c.cr0&cr0PE == 0 || 8*uint32(vector)+7 > uint32(c.idt.Limit) {
		c.raiseCode(vectorGP, code)
		return false
	}
	d, ok := c.system8(c.idt.Base + 8*uint64(vector))
	if !ok {
		return false
	}
	kind, present, dpl := uint8(d>>40)&0x1F, d>>47&1 != 0, uint8(d>>45)&3
	switch {
	case kind != gateInterrupt && kind != gateTrap, from == software && c.cpl > dpl:
		c.raiseCode(vectorGP, code)
		return false
	case !present:
		c.raiseCode(vectorNP, code)
		return false
	}
	return c.enter32(d, kind == gateInterrupt, errorCode, withCode)
}

// enter32 enters the handler of a gate: on the stack of the task, where it has more privilege.
func (c *CPU) enter32(d uint64, noInterrupts bool, errorCode uint32, withCode bool) bool {
	code, ok := c.handlerCode(uint16(d>>16), false)
	if !ok {
		return false
	}
	cpl := c.cpl
	if !code.is(segmentConforming) {
		cpl = code.dpl()
	}
	frame := []uint64{c.Flags(), uint64(c.segments[decode.CS].selector), c.RIP}
	if withCode {
		frame = append(frame, uint64(errorCode))
	}
	sp, ss := c.R[rsp], c.segments[decode.SS]
	stack, stackSegment := sp, ss
	if cpl != c.cpl {
		if stack, stackSegment, ok = c.taskStack32(cpl); !ok {
			return false
		}
		frame = append([]uint64{uint64(ss.selector), sp}, frame...)
	}
	base := stackSegment.base
	before := c.cpl
	c.cpl = cpl
	for _, v := range frame {
		stack = (stack - 4) & 0xFFFF_FFFF
		if !c.store((base+stack)&0xFFFF_FFFF, 4, v) {
			c.cpl = before
			return false
		}
	}
	c.cpl = before
	c.segments[decode.SS] = stackSegment
	c.R[rsp] = stack
	c.flags.other &^= flagTF | flagNT | flagRF | flagVM
	if noInterrupts {
		c.flags.other &^= flagIF
	}
	c.setCode(code, cpl)
	c.RIP = d&0xFFFF | d>>32&0xFFFF_0000
	return true
}

// taskStack32 is the stack that a 32-bit TSS names for a privilege.
func (c *CPU) taskStack32(cpl uint8) (sp uint64, ss segment, ok bool) {
	at := 4 + 8*uint64(cpl)
	if at+5 > uint64(c.tr.limit) {
		c.raiseCode(vectorTS, uint32(c.tr.selector)&^3)
		return 0, ss, false
	}
	v, ok := c.system8(c.tr.base + at)
	if !ok {
		return 0, ss, false
	}
	selector := uint16(v >> 32)
	ss, _, ok = c.descriptor(selector, vectorTS)
	if ok && (uint8(selector&3) != cpl || ss.dpl() != cpl || !ss.is(segmentS|segmentWrite|segmentPresent) || ss.is(segmentCode)) {
		c.raiseCode(vectorTS, uint32(selector)&^3)
		ok = false
	}
	return v & 0xFFFF_FFFF, ss, ok
}

// iret32 is IRET there, to the same privilege or a lesser one.
func (c *CPU) iret32(u *uop) status {
	n := u.OperandSize
	var v [5]uint64 // EIP, CS, EFLAGS, ESP, SS
	count := 3
	for i := 0; i < count; i++ {
		var ok bool
		if v[i], ok = c.load(c.wrap(c.bases[decode.SS]+c.R[rsp]+uint64(i)*uint64(n)), n); !ok {
			return faulted
		}
		if i == 1 && uint8(v[1]&3) > c.cpl {
			count = 5
		}
	}
	cpl := uint8(v[1] & 3)
	if cpl < c.cpl {
		return c.raiseCode(vectorGP, uint32(v[1])&^3)
	}
	code, ok := c.loadCode(uint16(v[1]), cpl)
	if !ok {
		return faulted
	}
	rflags := c.flagsFrom(v[2], n)
	if count == 5 {
		stack, st := c.returnStack(uint16(v[4]), cpl, false)
		if st != next {
			return st
		}
		c.segments[decode.SS] = stack
		c.R[rsp] = v[3]
	} else {
		c.setStack(c.R[rsp] + 3*uint64(n))
	}
	c.setCode(code, cpl)
	if count == 5 {
		c.dropSegments()
	}
	c.setFlags(rflags)
	return c.jump(v[0])
}

// pushAll and popAll are PUSHA and POPA.
func pushAll(c *CPU, u *uop) status {
	n := u.OperandSize
	sp := c.R[rsp]
	for r := range 8 {
		v := c.R[r]
		if r == rsp {
			v = sp
		}
		if !c.push(n, v) {
			c.R[rsp] = sp
			return faulted
		}
	}
	return next
}

func popAll(c *CPU, u *uop) status {
	n := u.OperandSize
	sp := c.R[rsp]
	var v [8]uint64
	for r := rdi; r >= rax; r-- {
		var ok bool
		if v[r], ok = c.pop(n); !ok {
			c.R[rsp] = sp
			return faulted
		}
	}
	for r, value := range v {
		if r != rsp {
			m := mask(n)
			c.R[r] = c.R[r]&^m | value&m
		}
	}
	return next
}
