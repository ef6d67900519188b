package soft

// Shifts and rotations, by their opcode extension.
const (
	shiftROL = iota
	shiftROR
	shiftRCL
	shiftRCR
	shiftSHL
	shiftSHR
	shiftSAL // as SHL; no assembler makes it
	shiftSAR
)

// shift shifts r/m by an immediate, by 1 or by CL.
func shift(c *CPU, u *uop) status {
	count := uint8(1)
	switch {
	case u.Opcode&^1 == 0xC0:
		count = uint8(u.Imm)
	case u.Opcode&^1 == 0xD2:
		count = uint8(c.R[rcx])
	}
	n := u.OperandSize
	count = shiftCount(n, count)
	return c.modify(u, n, func(a uint64) uint64 { return c.shifted(u.Ext(), n, a, count) })
}

// shiftCount has the bits of a count that are used: five, or six where operands have 64 bits.
func shiftCount(n, count uint8) uint8 {
	if n == 8 {
		return count & 63
	}
	return count & 31
}

// shifted is a shifted by count, with its flags.
func (c *CPU) shifted(op, n uint8, a uint64, count uint8) uint64 {
	if count == 0 {
		return a
	}
	switch op {
	case shiftROL, shiftROR:
		return c.rotated(op, n, a, count)
	case shiftRCL, shiftRCR:
		return c.rotatedCarry(op, n, a, count)
	}
	width := 8 * n
	var res uint64
	var carry bool
	switch op {
	case shiftSHL, shiftSAL:
		res = a << count
		carry = count <= width && a>>(width-count)&1 != 0
	case shiftSHR:
		res = a >> count
		carry = a>>(count-1)&1 != 0
	case shiftSAR:
		s := int64(signExtend(a, n))
		res = uint64(s >> count)
		carry = s>>(count-1)&1 != 0
	}
	res &= mask(n)
	over := false // of a shift by 1
	switch op {
	case shiftSHL, shiftSAL:
		over = signed(n, res) != carry
	case shiftSHR:
		over = signed(n, a)
	}
	c.flags.setBits(flagsStatus, ofResult(n, res)|flag(carry, flagCF)|flag(over, flagOF))
	return res
}

func (c *CPU) rotated(op, n uint8, a uint64, count uint8) uint64 {
	width := 8 * n
	by := count % width
	if op == shiftROR {
		by = (width - by) % width
	}
	m := mask(n)
	res := (a<<by | a&m>>(width-by)) & m
	if by == 0 {
		res = a & m
	}
	carry, top := res&1 != 0, signed(n, res)
	over := top != carry
	if op == shiftROR {
		carry = top
		over = top != signed(n, res<<1)
	}
	c.flags.setBits(flagCF|flagOF, flag(carry, flagCF)|flag(over, flagOF))
	return res
}

// rotatedCarry rotates through CF, a bit at a time.
func (c *CPU) rotatedCarry(op, n uint8, a uint64, count uint8) uint64 {
	width := 8 * n
	if n < 4 {
		count %= width + 1
	}
	if count == 0 {
		return a
	}
	carry := flag(c.flags.carry(), 1)
	for range count {
		if op == shiftRCL {
			out := a >> (width - 1) & 1
			a = a<<1 | carry
			carry = out
		} else {
			out := a & 1
			a = a&mask(n)>>1 | carry<<(width-1)
			carry = out
		}
	}
	a &= mask(n)
	over := signed(n, a) != (carry != 0)
	if op == shiftRCR {
		over = signed(n, a) != signed(n, a<<1)
	}
	c.flags.setBits(flagCF|flagOF, flag(carry != 0, flagCF)|flag(over, flagOF))
	return a
}

// doubleShift is SHLD and SHRD, by an immediate or by CL.
func doubleShift(c *CPU, u *uop) status {
	n := u.OperandSize
	count := uint8(u.Imm)
	if u.Opcode&1 != 0 {
		count = uint8(c.R[rcx])
	}
	count = shiftCount(n, count)
	left := u.Opcode < 0xA8
	from := c.reg(u, u.Reg, n)
	return c.modify(u, n, func(a uint64) uint64 {
		if count == 0 {
			return a
		}
		width := 8 * n
		var res uint64
		var carry bool
		if left {
			res, carry = a<<count|from>>(width-count), a>>(width-count)&1 != 0
		} else {
			res, carry = a>>count|from<<(width-count), a>>(count-1)&1 != 0
		}
		res &= mask(n)
		c.flags.setBits(flagsStatus, ofResult(n, res)|flag(carry, flagCF)|flag(signed(n, a) != signed(n, res), flagOF))
		return res
	})
}
