package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// jump sets RIP. A target that is not canonical is a fault of the instruction there, as on AMD's
// processors.
func (c *CPU) jump(to uint64) status {
	if c.mode != decode.Mode64 {
		to &= 0xFFFF_FFFF
	}
	c.RIP = to
	return jumped
}

// branch is jump to a target that is the same each time.
func (c *CPU) branch(u *uop) status {
	c.jump(c.RIP + uint64(u.Len) + uint64(u.Imm))
	return branch
}

// stackBytes is how wide return addresses are.
func (c *CPU) stackBytes(u *uop) uint8 {
	if c.mode == decode.Mode64 {
		return 8
	}
	return u.OperandSize
}

func jcc(c *CPU, u *uop) status {
	if c.condition(u.Opcode & 15) {
		return c.branch(u)
	}
	return next
}

func jmp(c *CPU, u *uop) status { return c.branch(u) }

func call(c *CPU, u *uop) status {
	if !c.push(c.stackBytes(u), c.RIP+uint64(u.Len)) {
		return faulted
	}
	return c.branch(u)
}

func ret(c *CPU, u *uop) status {
	to, ok := c.pop(c.stackBytes(u))
	if !ok {
		return faulted
	}
	c.setStack(c.R[rsp] + uint64(u.Imm))
	return c.jump(to)
}

// loop is LOOPNE, LOOPE, LOOP and JRCXZ.
func loop(c *CPU, u *uop) status {
	m := mask(u.AddressSize)
	count := c.R[rcx] & m
	if u.Opcode == 0xE3 {
		if count == 0 {
			return c.branch(u)
		}
		return next
	}
	count = (count - 1) & m
	c.setReg(u, rcx, u.AddressSize, count)
	if count != 0 && (u.Opcode == 0xE2 || c.flags.zero() == (u.Opcode == 0xE1)) {
		return c.branch(u)
	}
	return next
}

// push puts n bytes on the stack.
func (c *CPU) push(n uint8, v uint64) bool {
	to := c.wrap(c.R[rsp] - uint64(n))
	if !c.store(c.wrap(c.bases[decode.SS]+to), n, v) {
		return false
	}
	c.setStack(to)
	return true
}

// setStack sets the stack pointer.
func (c *CPU) setStack(v uint64) { c.R[rsp] = c.wrap(v) }

func (c *CPU) pop(n uint8) (uint64, bool) {
	v, ok := c.load(c.wrap(c.bases[decode.SS]+c.R[rsp]), n)
	if ok {
		c.setStack(c.R[rsp] + uint64(n))
	}
	return v, ok
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

// leave is LEAVE; enter ENTER without nested frames, which nothing uses.
func leave(c *CPU, u *uop) status {
	v, ok := c.load(c.R[rbp], u.OperandSize)
	if !ok {
		return faulted
	}
	c.R[rsp] = c.R[rbp] + uint64(u.OperandSize)
	c.setReg(u, rbp, u.OperandSize, v)
	return next
}

// farIndirect is a far JMP; a far CALL, which nothing uses, is not there.
func (c *CPU) farIndirect(u *uop) status {
	if u.Ext() == 3 {
		return c.raise(vectorUD)
	}
	selector, to, ok := c.farPointer(u)
	if !ok {
		return faulted
	}
	return c.farJump(selector, to)
}

// group5 is INC, DEC, CALL, JMP and PUSH of r/m.
func group5(c *CPU, u *uop) status {
	switch u.Ext() {
	case 0, 1:
		return incDec(c, u)
	case 3, 5:
		return c.farIndirect(u)
	case 6:
		n := u.OperandSize
		if n == 4 && c.mode == decode.Mode64 { // there is none of 32 bits
			n = 8
		}
		v, ok := c.rm(u, n)
		if !ok || !c.push(n, v) {
			return faulted
		}
		return next
	case 2, 4:
		n := c.stackBytes(u)
		to, ok := c.rm(u, n)
		if !ok || u.Ext() == 2 && !c.push(n, c.RIP+uint64(u.Len)) {
			return faulted
		}
		return c.jump(to)
	}
	return c.raise(vectorUD)
}
