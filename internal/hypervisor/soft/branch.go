package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// jump sets RIP. Outside of 64-bit mode a target beyond the code segment's limit is a fault of the
// jump.
func (c *CPU) jump(to uint64) status {
	if c.mode != decode.Mode64 {
		if to &= 0xFFFF_FFFF; to > uint64(c.segments[decode.CS].limit) {
			return c.raise(vectorGP)
		}
	}
	c.RIP = to
	return jumped
}

// branch is jump to a target that is the same each time.
func (c *CPU) branch(u *uop) status {
	if c.jump(c.relative(u)) == faulted {
		return faulted
	}
	return branch
}

// reachable reports whether RIP can be set to a target that a register or memory has; else c.fault is set.
func (c *CPU) reachable(to uint64) bool {
	if c.mode == decode.Mode64 && !isCanonical(to) || c.mode != decode.Mode64 && to > uint64(c.segments[decode.CS].limit) {
		c.raise(vectorGP)
		return false
	}
	return true
}

// stackBytes is how wide return addresses are.
func (c *CPU) stackBytes(u *uop) uint8 {
	if c.mode == decode.Mode64 {
		return 8
	}
	return u.OperandSize
}

// relative is the target of a jump by an immediate.
func (c *CPU) relative(u *uop) uint64 {
	to := c.RIP + uint64(u.Len) + uint64(u.Imm)
	if c.mode != decode.Mode64 {
		to &= mask(u.OperandSize)
	}
	return to
}

func jcc(c *CPU, u *uop) status {
	if c.condition(u.Opcode & 15) {
		return c.branch(u)
	}
	return next
}

func jmp(c *CPU, u *uop) status { return c.branch(u) }

func call(c *CPU, u *uop) status {
	to := c.relative(u)
	if !c.reachable(to) || !c.push(c.stackBytes(u), c.RIP+uint64(u.Len)) {
		return faulted
	}
	c.RIP = to
	return branch
}

func ret(c *CPU, u *uop) status {
	n := c.stackBytes(u)
	to, ok := c.load(c.stackAt(c.R[rsp]), n)
	if !ok || !c.reachable(to) {
		return faulted
	}
	c.setStack(c.R[rsp] + uint64(n) + uint64(u.Imm))
	c.RIP = to
	return jumped
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
	s := next
	if count != 0 && (u.Opcode == 0xE2 || c.flags.zero() == (u.Opcode == 0xE1)) {
		if s = c.branch(u); s == faulted {
			return s
		}
	}
	c.setReg(u, rcx, u.AddressSize, count)
	return s
}

// group5 is INC, DEC, CALL, JMP and PUSH of r/m.
func group5(c *CPU, u *uop) status {
	switch u.Ext() {
	case 0, 1:
		return incDec(c, u)
	case 3, 5:
		selector, to, ok := c.farPointer(u)
		if !ok {
			return faulted
		}
		return c.farTransfer(u, selector, to, u.Ext() == 3)
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
		if !ok || !c.reachable(to) || u.Ext() == 2 && !c.push(n, c.RIP+uint64(u.Len)) {
			return faulted
		}
		c.RIP = to
		return jumped
	}
	return c.raise(vectorUD)
}
