package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// hasCode tells whether an exception pushes an error code.
func hasCode(vector uint8) bool {
	switch vector {
	case vectorDF, vectorTS, vectorNP, vectorSS, vectorGP, vectorPF, 17, 21:
		return true
	}
	return false
}

// contributory tells whether an exception within the delivery of another makes a double fault.
func contributory(vector uint8) bool {
	return vector == vectorDE || vector >= vectorTS && vector <= vectorGP
}

// except delivers an exception, or what comes of its delivery: a double fault, or a shutdown, for
// which it returns false. Source: Intel SDM volume 3, chapter 6.15, interrupt 8.
func (c *CPU) except(f Fault) bool {
	for {
		if f.Vector == vectorPF {
			c.cr2 = f.Addr
		}
		if f.Vector != vectorDB && f.Vector != vectorBP {
			c.flags.other |= flagRF
		}
		if c.interrupt(f.Vector, f.Code, hasCode(f.Vector), external) {
			return true
		}
		second := c.fault
		switch {
		case f.Vector == vectorDF:
			return false
		case f.Vector == vectorPF && (second.Vector == vectorPF || contributory(second.Vector)), contributory(f.Vector) && contributory(second.Vector):
			f = Fault{Vector: vectorDF}
		default:
			f = second
		}
	}
}

// origin is what an interrupt comes from.
type origin uint8

const (
	external origin = iota // an exception, or a device: gates' privileges do not count
	software               // INT n
)

// gate is an entry of the IDT.
type gate struct {
	selector  uint16
	offset    uint64
	ist, kind uint8
	dpl       uint8
	present   bool
}

const (
	gateInterrupt = 14
	gateTrap      = 15
)

// gateOf reads one of long mode; a fault is set where there is none that can be used.
func (c *CPU) gateOf(vector uint8, from origin) (g gate, ok bool) {
	code := uint32(vector)<<3 | 2
	if from == external {
		code |= 1
	}
	at := c.idt.Base + 16*uint64(vector)
	if 16*uint32(vector)+15 > uint32(c.idt.Limit) {
		c.raiseCode(vectorGP, code)
		return g, false
	}
	low, ok := c.system8(at)
	if !ok {
		return g, false
	}
	high, ok := c.system8(at + 8)
	if !ok {
		return g, false
	}
	g = gate{
		selector: uint16(low >> 16), offset: low&0xFFFF | low>>32&0xFFFF_0000 | high<<32,
		ist: uint8(low>>32) & 7, kind: uint8(low>>40) & 0x1F, dpl: uint8(low>>45) & 3, present: low>>47&1 != 0,
	}
	switch {
	case g.kind != gateInterrupt && g.kind != gateTrap, from == software && c.cpl > g.dpl:
		c.raiseCode(vectorGP, code)
		return g, false
	case !g.present:
		c.raiseCode(vectorNP, code)
		return g, false
	}
	return g, true
}

// interrupt enters the handler of a vector by the IDT of long mode; where that is a fault, c.fault
// has it, and nothing has changed.
func (c *CPU) interrupt(vector uint8, errorCode uint32, withCode bool, from origin) bool {
	if c.efer&eferLMA == 0 {
		return c.interrupt32(vector, errorCode, withCode, from)
	}
	g, ok := c.gateOf(vector, from)
	if !ok {
		return false
	}
	code, ok := c.handlerCode(g.selector, true)
	if !ok {
		return false
	}
	cpl := c.cpl
	if !code.is(segmentConforming) {
		cpl = code.dpl()
	}
	stack := c.R[rsp]
	switch {
	case g.ist != 0:
		stack, ok = c.taskStack(28 + 8*uint64(g.ist))
	case cpl < c.cpl:
		stack, ok = c.taskStack(4 + 8*uint64(cpl))
	}
	if !ok {
		return false
	}
	frame := []uint64{uint64(c.segments[decode.SS].selector), c.R[rsp], c.Flags(), uint64(c.segments[decode.CS].selector), c.RIP}
	if withCode {
		frame = append(frame, uint64(errorCode))
	}
	stack &^= 15
	if !c.pushFrame(&stack, frame, cpl) {
		return false
	}
	if cpl != c.cpl {
		c.segments[decode.SS] = segment{selector: uint16(cpl), attr: segmentPresent | segmentS | segmentWrite | segmentAccessed | uint16(cpl)<<5}
	}
	c.R[rsp], c.RIP = stack, g.offset
	c.flags.other &^= flagTF | flagNT | flagRF | flagVM
	if g.kind == gateInterrupt {
		c.flags.other &^= flagIF
	}
	c.setCode(code, cpl)
	return true
}

// handlerCode is the code segment of a gate, of no lesser privilege, and in long mode of 64 bits.
func (c *CPU) handlerCode(selector uint16, long bool) (segment, bool) {
	code := uint32(selector)&^3 | 1
	if selector&^3 == 0 {
		c.raiseCode(vectorGP, 1)
		return segment{}, false
	}
	s, _, ok := c.descriptor(selector, vectorGP)
	switch {
	case !ok:
		return s, false
	case !s.is(segmentS | segmentCode), long && (!s.is(segmentLong) || s.is(segmentBig)), s.dpl() > c.cpl:
		c.raiseCode(vectorGP, code)
		return s, false
	case !s.is(segmentPresent):
		c.raiseCode(vectorNP, code)
		return s, false
	}
	return s, true
}

// taskStack reads a stack pointer of the TSS.
func (c *CPU) taskStack(offset uint64) (uint64, bool) {
	if offset+7 > uint64(c.tr.limit) {
		c.raiseCode(vectorTS, uint32(c.tr.selector)&^3)
		return 0, false
	}
	v, ok := c.system8(c.tr.base + offset)
	if ok && !isCanonical(v) {
		c.raise(vectorSS)
		return 0, false
	}
	return v, ok
}

// pushFrame writes values at another privilege.
func (c *CPU) pushFrame(stack *uint64, frame []uint64, cpl uint8) bool {
	before := c.cpl
	c.cpl = cpl
	defer func() { c.cpl = before }()
	for _, v := range frame {
		*stack -= 8
		if !c.store(*stack, 8, v) {
			return false
		}
	}
	return true
}

// intN is INT n, INT3 and INTO.
func intN(c *CPU, u *uop) status {
	vector := uint8(u.Imm)
	switch u.Opcode {
	case 0xCC:
		vector = vectorBP
	case 0xCE:
		if vector = 4; !c.flags.overflow() {
			return next
		}
	}
	at := c.RIP
	c.RIP += uint64(u.Len)
	if !c.interrupt(vector, 0, false, software) {
		c.RIP = at
		return faulted
	}
	return jumped
}

// iret is IRET in long mode, to the same privilege or a lesser one.
func iret(c *CPU, u *uop) status {
	if c.flags.other&flagNT != 0 {
		return c.raise(vectorGP)
	}
	if c.efer&eferLMA == 0 {
		return c.iret32(u)
	}
	n := u.OperandSize
	var v [5]uint64 // RIP, CS, RFLAGS, RSP, SS
	for i := range v {
		if i >= 3 && c.mode != decode.Mode64 && uint8(v[1]&3) == c.cpl {
			break
		}
		var ok bool
		if v[i], ok = c.load(c.wrap(c.R[rsp]+uint64(i)*uint64(n)), n); !ok {
			return faulted
		}
	}
	return c.returnTo(v, n)
}

func (c *CPU) returnTo(v [5]uint64, n uint8) status {
	selector, cpl := uint16(v[1]), uint8(v[1]&3)
	if cpl < c.cpl {
		return c.raiseCode(vectorGP, uint32(selector)&^3)
	}
	code, ok := c.loadCode(selector, cpl)
	if !ok {
		return faulted
	}
	long := code.is(segmentLong)
	if long && !isCanonical(v[0]) {
		return c.raise(vectorGP)
	}
	switched := cpl != c.cpl || c.mode == decode.Mode64
	stack := c.segments[decode.SS]
	if switched {
		var st status
		if stack, st = c.returnStack(uint16(v[4]), cpl, long); st != next {
			return st
		}
	}
	was := c.cpl
	rflags := c.flagsFrom(v[2], n)
	c.setCode(code, cpl)
	if switched {
		c.segments[decode.SS] = stack
		c.setBase(decode.SS)
		c.R[rsp] = v[3]
	} else {
		c.R[rsp] += 3 * uint64(n)
	}
	if cpl > was {
		c.dropSegments()
	}
	c.setFlags(rflags)
	return c.jump(v[0])
}

// returnStack is the stack segment of a return.
func (c *CPU) returnStack(selector uint16, cpl uint8, long bool) (segment, status) {
	code := uint32(selector) &^ 3
	if code == 0 {
		if !long || cpl == 3 {
			return segment{}, c.raise(vectorGP)
		}
		return segment{selector: selector}, next
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
		if s.is(segmentPresent) && s.dpl() < c.cpl && !s.is(segmentCode|segmentConforming) {
			base := s.base
			*s = segment{}
			if to >= decode.FS {
				s.base = base // as processors of today have it
			}
			c.setBase(to)
		}
	}
}

// retFar is RETF to the same privilege or a lesser one.
func retFar(c *CPU, u *uop) status {
	n := u.OperandSize
	to, ok := c.load(c.R[rsp], n)
	if !ok {
		return faulted
	}
	cs, ok := c.load(c.R[rsp]+uint64(n), n)
	if !ok {
		return faulted
	}
	extra := uint64(u.Imm)
	if uint8(cs&3) == c.cpl {
		code, ok := c.loadCode(uint16(cs), c.cpl)
		if !ok {
			return faulted
		}
		c.R[rsp] += 2*uint64(n) + extra
		c.setCode(code, c.cpl)
		return c.jump(to)
	}
	sp, ok := c.load(c.R[rsp]+2*uint64(n)+extra, n)
	if !ok {
		return faulted
	}
	ss, ok := c.load(c.R[rsp]+3*uint64(n)+extra, n)
	if !ok {
		return faulted
	}
	return c.returnTo([5]uint64{to, cs, c.Flags(), sp + extra, ss}, 8)
}

// syscall and sysret change the privilege without tables.
func syscall(c *CPU, u *uop) status {
	if c.efer&eferSCE == 0 || c.mode != decode.Mode64 {
		return c.raise(vectorUD)
	}
	c.R[rcx], c.R[11] = c.RIP+uint64(u.Len), c.Flags()&^flagRF
	c.setFlags(c.Flags() &^ c.msr.fmask &^ flagRF)
	selector := uint16(c.msr.star>>32) &^ 3
	c.flat(selector, 0, segmentLong)
	return c.jump(c.msr.lstar)
}

func sysret(c *CPU, u *uop) status {
	if c.efer&eferSCE == 0 || c.mode != decode.Mode64 {
		return c.raise(vectorUD)
	}
	if c.cpl != 0 {
		return c.raise(vectorGP)
	}
	to, selector, kind := c.R[rcx]&0xFFFF_FFFF, uint16(c.msr.star>>48), uint16(segmentBig)
	if u.W {
		to, selector, kind = c.R[rcx], selector+16, segmentLong
		if !isCanonical(to) {
			return c.raise(vectorGP)
		}
	}
	c.setFlags(c.R[11] & (flagsKnown &^ flagRF))
	c.flat(selector|3, 3, kind)
	c.segments[decode.SS].selector = uint16(c.msr.star>>48) + 8 | 3
	return c.jump(to)
}

// flat has code and stack segments of 4 GiB, as SYSCALL and SYSRET make them.
func (c *CPU) flat(selector uint16, cpl uint8, kind uint16) {
	const all = segmentPresent | segmentS | segmentWrite | segmentAccessed | segmentGranular
	c.segments[decode.SS] = segment{selector: selector + 8, attr: all | segmentBig | uint16(cpl)<<5, limit: ^uint32(0)}
	c.setCode(segment{selector: selector, attr: all | segmentCode | kind | uint16(cpl)<<5, limit: ^uint32(0)}, cpl)
}
