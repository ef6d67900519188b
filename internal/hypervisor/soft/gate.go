package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// Delivery of interrupts and exceptions by the IDT. Source: Intel SDM volume 3, chapter 6.11 to 6.14.

// gate is an entry of the IDT.
type gate struct {
	selector uint16
	offset   uint64
	ist      uint8
	size     uint8 // of the values that are pushed
	masks    bool  // it is an interrupt gate
}

const (
	gateInterrupt = 14
	gateTrap      = 15
)

// frame is a stack on which a handler is entered.
type frame struct {
	cpl   uint8
	size  uint8 // of a value: 8 in long mode
	ss    segment
	sp    uint64
	inner bool // it is another than that of before
}

// interrupt enters the handler of a vector; where that is a fault, c.fault has it, and no register has
// changed.
func (c *CPU) interrupt(vector uint8, errorCode uint32, withCode bool, from origin) (ok bool) {
	if c.ext = 1; from == software {
		c.ext = 0
	}
	c.delivering = true
	defer func() { c.delivering = false }()
	if c.cr0&cr0PE == 0 {
		ok = c.interruptReal(vector)
	} else {
		ok = c.interruptGate(vector, errorCode, withCode, from)
	}
	if ok {
		c.debug.delivered++
	}
	return ok
}

func (c *CPU) interruptGate(vector uint8, errorCode uint32, withCode bool, from origin) bool {
	long := c.efer&eferLMA != 0
	g, ok := c.gateOf(vector, from, long)
	if !ok {
		return false
	}
	code, ok := c.handlerCode(g.selector, long)
	if !ok {
		return false
	}
	if !c.farReachable(&code, g.offset) {
		c.raiseCode(vectorGP, c.ext)
		return false
	}
	f := frame{cpl: c.cpl, size: g.size, ss: c.segments[decode.SS], sp: c.R[rsp]}
	if !code.is(segmentConforming) {
		f.cpl = code.dpl()
	}
	if (g.ist != 0 || f.cpl < c.cpl) && !c.innerStack(&f, g.ist) {
		return false
	}
	values := []uint64{c.Flags(), uint64(c.segments[decode.CS].selector), c.RIP}
	if long || f.inner {
		values = append([]uint64{uint64(c.segments[decode.SS].selector), c.R[rsp]}, values...)
	}
	if withCode {
		values = append(values, uint64(errorCode))
	}
	if long {
		f.sp &^= 15
	}
	if !c.pushFrame(&f, values) {
		return false
	}
	c.takeStack(&f)
	c.flags.other &^= flagTF | flagNT | flagRF | flagVM
	if g.masks {
		c.flags.other &^= flagIF
	}
	c.setCode(code, f.cpl)
	c.RIP = g.offset
	return true
}

// gateOf reads the gate of a vector; a fault is set where there is none that can be used.
func (c *CPU) gateOf(vector uint8, from origin, long bool) (g gate, ok bool) {
	code := uint32(vector)<<3 | 2 | c.ext
	size := uint64(8)
	if long {
		size = 16
	}
	at := size * uint64(vector)
	if at+size-1 > uint64(c.idt.Limit) {
		c.raiseCode(vectorGP, code)
		return g, false
	}
	d, ok := c.system8(c.idt.Base + at)
	if !ok {
		return g, false
	}
	g = gate{selector: uint16(d >> 16), offset: d&0xFFFF | d>>32&0xFFFF_0000, size: 4}
	kind, dpl := uint8(d>>40)&0x1F, uint8(d>>45)&3
	switch {
	case kind == gateInterrupt, kind == gateTrap:
	case !long && kind&^1 == typeGate16:
		g.size, g.offset = 2, g.offset&0xFFFF
	case !long && kind == typeTask:
	default:
		c.raiseCode(vectorGP, code)
		return g, false
	}
	g.masks = kind&1 == 0
	switch {
	case from == software && c.cpl > dpl:
		c.raiseCode(vectorGP, code)
		return g, false
	case d>>47&1 == 0:
		c.raiseCode(vectorNP, code)
		return g, false
	case kind == typeTask:
		c.unsupported = "a task gate"
		return g, false
	}
	if long {
		high, ok := c.system8(c.idt.Base + at + 8)
		if !ok {
			return g, false
		}
		g.offset, g.ist, g.size = g.offset|high<<32, uint8(d>>32)&7, 8
	}
	return g, true
}

// handlerCode is the code segment of a gate, of no lesser privilege, and in long mode of 64 bits.
func (c *CPU) handlerCode(selector uint16, long bool) (segment, bool) {
	code := uint32(selector)&^3 | c.ext
	if selector&^3 == 0 {
		c.raiseCode(vectorGP, c.ext)
		return segment{}, false
	}
	s, at, ok := c.descriptor(selector, vectorGP)
	switch {
	case !ok:
		if c.fault.Vector == vectorGP {
			c.fault.Code |= c.ext
		}
		return s, false
	case !s.is(segmentS | segmentCode), long && (!s.is(segmentLong) || s.is(segmentBig)), s.dpl() > c.cpl:
		c.raiseCode(vectorGP, code)
		return s, false
	case !s.is(segmentPresent):
		c.raiseCode(vectorNP, code)
		return s, false
	}
	return s, c.accessed(&s, at)
}

// innerStack finds the stack of the task for a privilege, or of the interrupt stack table.
func (c *CPU) innerStack(f *frame, ist uint8) (ok bool) {
	f.inner = true
	switch {
	case c.efer&eferLMA == 0:
		f.sp, f.ss, ok = c.taskStack32(f.cpl)
		return ok
	case ist != 0:
		f.sp, ok = c.taskStack(28 + 8*uint64(ist))
	default:
		f.sp, ok = c.taskStack(4 + 8*uint64(f.cpl))
	}
	if f.cpl != c.cpl { // the selector is null
		f.ss = segment{selector: uint16(f.cpl), attr: segmentPresent | segmentS | segmentWrite | segmentAccessed | uint16(f.cpl)<<5}
	}
	return ok
}

// taskStack reads a stack pointer of the TSS.
func (c *CPU) taskStack(offset uint64) (uint64, bool) {
	if offset+7 > uint64(c.tr.limit) {
		c.raiseCode(vectorTS, uint32(c.tr.selector)&^3|c.ext)
		return 0, false
	}
	v, ok := c.system8(c.tr.base + offset)
	if ok && !isCanonical(v) {
		c.raiseCode(vectorSS, c.ext)
		return 0, false
	}
	return v, ok
}

// taskStack32 is the stack that a TSS of 32 or 16 bits names for a privilege.
func (c *CPU) taskStack32(cpl uint8) (sp uint64, ss segment, ok bool) {
	at, width := 4+8*uint64(cpl), uint64(32)
	if c.tr.attr&0xF&^2 == typeTSS16 {
		at, width = 2+4*uint64(cpl), 16
	}
	if at+width/8+1 > uint64(c.tr.limit) {
		c.raiseCode(vectorTS, uint32(c.tr.selector)&^3|c.ext)
		return 0, ss, false
	}
	v, ok := c.system8(c.tr.base + at)
	if !ok {
		return 0, ss, false
	}
	selector := uint16(v >> width)
	code := uint32(selector)&^3 | c.ext
	if selector&^3 == 0 {
		c.raiseCode(vectorTS, code)
		return 0, ss, false
	}
	ss, from, ok := c.descriptor(selector, vectorTS)
	switch {
	case !ok:
		if c.fault.Vector == vectorTS {
			c.fault.Code |= c.ext
		}
		return 0, ss, false
	case uint8(selector&3) != cpl, ss.dpl() != cpl, !ss.is(segmentS | segmentWrite), ss.is(segmentCode):
		c.raiseCode(vectorTS, code)
		return 0, ss, false
	case !ss.is(segmentPresent):
		c.raiseCode(vectorSS, code)
		return 0, ss, false
	}
	return v & (1<<width - 1), ss, c.accessed(&ss, from)
}

// pushFrame writes values to a handler's stack, at its privilege.
func (c *CPU) pushFrame(f *frame, values []uint64) bool {
	cpl, mode := c.cpl, c.mode
	defer func() { c.cpl, c.mode = cpl, mode }()
	bits := ^uint64(0)
	if c.cpl = f.cpl; c.efer&eferLMA != 0 {
		c.mode = decode.Mode64 // stacks of long mode have no segment
	} else if bits = 0xFFFF; f.ss.is(segmentBig) {
		bits = 0xFFFF_FFFF
	}
	code := c.ext
	if f.inner && c.efer&eferLMA == 0 {
		code |= uint32(f.ss.selector) &^ 3
	}
	for _, v := range values {
		f.sp = withStack(f.sp, f.sp-uint64(f.size), bits)
		at := f.sp
		if c.mode != decode.Mode64 {
			off := f.sp & bits
			if !f.ss.contains(off, uint64(f.size)) {
				c.raiseCode(vectorSS, code)
				return false
			}
			at = (f.ss.base + off) & 0xFFFF_FFFF
		}
		if !c.store(at, f.size, v) {
			if c.fault.Vector == vectorGP { // it is not canonical
				c.raiseCode(vectorSS, code)
			}
			return false
		}
	}
	return true
}

// takeStack makes a stack that of the processor.
func (c *CPU) takeStack(f *frame) {
	if f.inner {
		c.segments[decode.SS] = f.ss
	}
	c.R[rsp] = f.sp
}

// interruptReal enters the handler of a vector in real mode.
func (c *CPU) interruptReal(vector uint8) bool {
	if 4*uint32(vector)+3 > uint32(c.idt.Limit) {
		c.raise(vectorGP)
		return false
	}
	to, ok := c.systemLoad(c.idt.Base+4*uint64(vector), 4)
	cs := &c.segments[decode.CS]
	if !ok || !c.pushAllOf(2, c.Flags(), uint64(cs.selector), c.RIP) {
		return false
	}
	c.flags.other &^= flagTF | flagIF | flagRF | flagAC
	cs.selector, cs.base = uint16(to>>16), to>>16<<4
	c.setMode()
	c.RIP = to & 0xFFFF
	return true
}

// intN is INT n, INT3 and INTO.
func intN(c *CPU, u *uop) status {
	vector := uint8(u.Imm)
	switch u.Opcode {
	case 0xCC:
		vector = vectorBP
	case 0xCE:
		if vector = vectorOF; !c.flags.overflow() {
			return next
		}
	}
	return c.interruptAfter(u, vector, software)
}

// interruptAfter enters the handler of a vector, which returns to the instruction after u.
func (c *CPU) interruptAfter(u *uop, vector uint8, from origin) status {
	at := c.RIP
	c.RIP += uint64(u.Len)
	if c.interrupt(vector, 0, false, from) {
		return jumped
	}
	c.RIP = at
	if c.unsupported != "" {
		return c.unsupportedHere(c.unsupported)
	}
	return faulted
}

// iret is IRET, to the same privilege or a lesser one.
func iret(c *CPU, u *uop) status {
	n, long := u.OperandSize, c.efer&eferLMA != 0
	real := c.cr0&cr0PE == 0
	if c.flags.other&flagNT != 0 && !real {
		if long {
			return c.raise(vectorGP)
		}
		return c.unsupportedHere("a task switch")
	}
	c.nmiBlocked = false
	var v [5]uint64 // RIP, CS, RFLAGS, RSP, SS
	if !c.popped(v[:3], 0, n) {
		return faulted
	}
	if real {
		if v[0] > uint64(c.segments[decode.CS].limit) {
			return c.raise(vectorGP)
		}
		c.setStack(c.R[rsp] + 3*uint64(n))
		c.setFlags(c.flagsFrom(v[2], n))
		return c.farReal(uint16(v[1]), v[0], 0, n, false)
	}
	if !long && v[2]&flagVM != 0 && c.cpl == 0 && n == 4 {
		return c.unsupportedHere("virtual-8086 mode")
	}
	rflags := c.flagsFrom(v[2], n)
	r := farReturn{ip: v[0], cs: uint16(v[1]), drop: 3 * uint64(n), rflags: &rflags}
	if r.outer = c.mode == decode.Mode64 || uint8(v[1]&3) > c.cpl; r.outer {
		if !c.popped(v[3:], r.drop, n) {
			return faulted
		}
		r.sp, r.ss = v[3], uint16(v[4])
	}
	return c.returnTo(&r)
}
