package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// stackMask has the bits of the stack pointer that are used: by SS.B outside of 64-bit mode.
func (c *CPU) stackMask() uint64 {
	switch {
	case c.mode == decode.Mode64:
		return ^uint64(0)
	case c.segments[decode.SS].is(segmentBig):
		return 0xFFFF_FFFF
	}
	return 0xFFFF
}

// stackAt is the linear address of a stack pointer's value.
func (c *CPU) stackAt(sp uint64) uint64 {
	if c.mode == decode.Mode64 {
		return sp
	}
	return c.wrap(c.bases[decode.SS] + sp&c.stackMask())
}

// setStack sets the stack pointer. SP is set without the rest of RSP.
func (c *CPU) setStack(v uint64) { c.R[rsp] = withStack(c.R[rsp], v, c.stackMask()) }

func withStack(before, v, mask uint64) uint64 {
	if mask == 0xFFFF {
		return before&^mask | v&mask
	}
	return v & mask
}

// push puts n bytes on the stack.
func (c *CPU) push(n uint8, v uint64) bool {
	to := c.R[rsp] - uint64(n)
	if !c.store(c.stackAt(to), n, v) {
		return false
	}
	c.setStack(to)
	return true
}

func (c *CPU) pop(n uint8) (uint64, bool) {
	v, ok := c.load(c.stackAt(c.R[rsp]), n)
	if ok {
		c.setStack(c.R[rsp] + uint64(n))
	}
	return v, ok
}

// popped reads values of n bytes that are on the stack, off bytes from its top, and leaves them there.
func (c *CPU) popped(to []uint64, off uint64, n uint8) bool {
	for i := range to {
		var ok bool
		if to[i], ok = c.load(c.stackAt(c.R[rsp]+off+uint64(i)*uint64(n)), n); !ok {
			return false
		}
	}
	return true
}

func pushReg(c *CPU, u *uop) status { return c.pushed(u, c.R[c.opcodeReg(u)]) }

func pushImm(c *CPU, u *uop) status { return c.pushed(u, uint64(u.Imm)) }

func (c *CPU) pushed(u *uop, v uint64) status {
	if !c.push(u.OperandSize, v) {
		return faulted
	}
	return next
}

func popReg(c *CPU, u *uop) status {
	v, ok := c.pop(u.OperandSize)
	if !ok {
		return faulted
	}
	c.setReg(u, c.opcodeReg(u), u.OperandSize, v)
	return next
}

// popRM is POP r/m: an address by RSP is that after the pop.
func popRM(c *CPU, u *uop) status {
	before := c.R[rsp]
	v, ok := c.pop(u.OperandSize)
	if !ok {
		return faulted
	}
	if !c.setRM(u, u.OperandSize, v) {
		c.R[rsp] = before
		return faulted
	}
	return next
}

// leave is LEAVE.
func leave(c *CPU, u *uop) status {
	v, ok := c.load(c.stackAt(c.R[rbp]), u.OperandSize)
	if !ok {
		return faulted
	}
	c.setStack(c.R[rbp] + uint64(u.OperandSize))
	c.setReg(u, rbp, u.OperandSize, v)
	return next
}

// enter is ENTER. The new top of the stack must be writable, though nothing is written there.
func enter(c *CPU, u *uop) status {
	n, level := u.OperandSize, int(u.Imm2&31)
	before, frame := c.R[rsp], c.R[rbp]
	fail := func() status { c.R[rsp] = before; return faulted }
	if !c.push(n, frame) {
		return fail()
	}
	top := c.R[rsp]
	for i := 1; i < level; i++ {
		v, ok := c.load(c.stackAt(frame-uint64(i)*uint64(n)), n)
		if !ok || !c.push(n, v) {
			return fail()
		}
	}
	if level > 0 && !c.push(n, top) {
		return fail()
	}
	end := c.R[rsp] - uint64(u.Imm)
	if _, _, ok := c.checked(c.stackAt(end), 1, accessWrite); !ok {
		return fail()
	}
	c.setStack(end)
	c.setReg(u, rbp, n, top)
	return next
}

// pushAll and popAll are PUSHA and POPA.
func pushAll(c *CPU, u *uop) status {
	before := c.R[rsp]
	for r := range 8 {
		v := c.R[r]
		if r == rsp {
			v = before
		}
		if !c.push(u.OperandSize, v) {
			c.R[rsp] = before
			return faulted
		}
	}
	return next
}

func popAll(c *CPU, u *uop) status {
	n := u.OperandSize
	var v [8]uint64
	if !c.popped(v[:], 0, n) {
		return faulted
	}
	c.setStack(c.R[rsp] + 8*uint64(n))
	for i, value := range v {
		if r := rdi - i; r != rsp {
			c.R[r] = c.R[r]&^mask(n) | value&mask(n)
		}
	}
	return next
}

// pushf and popf are PUSHF and POPF.
func pushf(c *CPU, u *uop) status {
	const hidden = flagRF | flagVM
	return c.pushed(u, c.Flags()&^hidden)
}

func popf(c *CPU, u *uop) status {
	v, ok := c.pop(u.OperandSize)
	if !ok {
		return faulted
	}
	c.setFlags(c.flagsFrom(v, u.OperandSize) &^ flagRF)
	return next
}
