package soft

import "math/bits"

// product is a * b of n bytes each, lower and upper half; narrow, whether the lower half alone
// has it.
func product(n uint8, a, b uint64, signed bool) (low, high uint64, narrow bool) {
	m := mask(n)
	if !signed {
		if n == 8 {
			high, low = bits.Mul64(a, b)
			return low, high, high == 0
		}
		p := a & m * (b & m)
		return p & m, p >> (8 * n) & m, p>>(8*n) == 0
	}
	x, y := int64(signExtend(a, n)), int64(signExtend(b, n))
	if n == 8 {
		high, low = bits.Mul64(uint64(x), uint64(y))
		high -= uint64(x>>63)&uint64(y) + uint64(y>>63)&uint64(x)
		return low, high, high == uint64(int64(low)>>63)
	}
	p := x * y
	return uint64(p) & m, uint64(p>>(8*n)) & m, int64(signExtend(uint64(p), n)) == p
}

// multiplied are the flags of a product. What the architecture leaves undefined is as after
// the processors of today.
func (c *CPU) multiplied(n uint8, low uint64, narrow bool) {
	over := flag(!narrow, flagCF|flagOF)
	c.flags.setBits(flagsStatus, over|ofResult(n, low)&^flagZF)
}

// multiply is MUL and IMUL with one operand.
func (c *CPU) multiply(u *uop, b uint64, signed bool) {
	n := u.OperandSize
	low, high, narrow := product(n, c.R[rax], b, signed)
	if n == 1 {
		c.setReg(u, rax, 2, high<<8|low)
	} else {
		c.setReg(u, rax, n, low)
		c.setReg(u, rdx, n, high)
	}
	c.multiplied(n, low, narrow)
}

// imul is IMUL reg, r/m; imulImm has an immediate as its second factor.
func imul(c *CPU, u *uop) status { return c.imul(u, c.reg(u, u.Reg, u.OperandSize)) }

func imulImm(c *CPU, u *uop) status { return c.imul(u, uint64(u.Imm)) }

func (c *CPU) imul(u *uop, b uint64) status {
	n := u.OperandSize
	a, ok := c.rm(u, n)
	if !ok {
		return faulted
	}
	low, _, narrow := product(n, a, b, true)
	c.setReg(u, u.Reg, n, low)
	c.multiplied(n, low, narrow)
	return next
}

// divide is DIV. Its flags are undefined: they stay.
func (c *CPU) divide(u *uop, b uint64) status {
	n := u.OperandSize
	high, low := c.dividend(n)
	if b == 0 || high >= b {
		return c.raise(vectorDE)
	}
	q, r := divided(n, high, low, b)
	c.quotient(u, q, r)
	return next
}

// dividend is that of a division by n bytes: RDX and RAX, or AH and AL.
func (c *CPU) dividend(n uint8) (high, low uint64) {
	m := mask(n)
	if n == 1 {
		return c.R[rax] >> 8 & m, c.R[rax] & m
	}
	return c.R[rdx] & m, c.R[rax] & m
}

// divided is high and low, of n bytes each, by b, which is more than high.
func divided(n uint8, high, low, b uint64) (q, r uint64) {
	if n == 8 {
		return bits.Div64(high, low, b)
	}
	a := high<<(8*n) | low
	return a / b, a % b
}

func (c *CPU) quotient(u *uop, q, r uint64) {
	if n := u.OperandSize; n == 1 {
		c.setReg(u, rax, 2, r<<8&0xFF00|q&0xFF)
	} else {
		c.setReg(u, rax, n, q)
		c.setReg(u, rdx, n, r)
	}
}

// divideSigned is IDIV: magnitudes are divided.
func (c *CPU) divideSigned(u *uop, b uint64) status {
	n := u.OperandSize
	m := mask(n)
	high, low := c.dividend(n)
	minus := signed(n, high)
	if minus {
		low = -low & m
		if high = ^high & m; low == 0 {
			high = (high + 1) & m
		}
	}
	by := b
	if signed(n, b) {
		by = -b & m
	}
	if by == 0 || high >= by {
		return c.raise(vectorDE)
	}
	q, r := divided(n, high, low, by)
	limit := m >> 1 // the largest quotient; one more where it is negative
	if minus != signed(n, b) {
		limit++
	}
	if q > limit {
		return c.raise(vectorDE)
	}
	if minus != signed(n, b) {
		q = -q
	}
	if minus {
		r = -r
	}
	c.quotient(u, q&m, r&m)
	return next
}
