package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// The operations of the first eight rows of opcodes, and of group 1.
const (
	aluAdd = iota
	aluOr
	aluAdc
	aluSbb
	aluAnd
	aluSub
	aluXor
	aluCmp
)

// alu computes one of them on n bytes, with its flags.
func (c *CPU) alu(op uint8, n uint8, a, b uint64) uint64 {
	switch op {
	case aluAdd:
		c.flags.set(kindAdd, n, a, b, a+b)
		return a + b
	case aluSub, aluCmp:
		c.flags.set(kindSub, n, a, b, a-b)
		return a - b
	case aluAdc:
		return c.addCarry(n, a, b)
	case aluSbb:
		return c.subBorrow(n, a, b)
	}
	res := a & b
	switch op {
	case aluOr:
		res = a | b
	case aluXor:
		res = a ^ b
	}
	c.flags.set(kindLogic, n, 0, 0, res)
	return res
}

// addCarry is ADC. With a carry the sum of kindAdd does not show whether there was one.
func (c *CPU) addCarry(n uint8, a, b uint64) uint64 {
	if !c.flags.carry() {
		return c.alu(aluAdd, n, a, b)
	}
	m := mask(n)
	a, b = a&m, b&m
	res := (a + b + 1) & m
	c.flags.setBits(flagsStatus, ofResult(n, res)|flag(res <= a, flagCF)|(a^b^res)&flagAF|flag(signed(n, (a^res)&(b^res)), flagOF))
	return res
}

func (c *CPU) subBorrow(n uint8, a, b uint64) uint64 {
	if !c.flags.carry() {
		return c.alu(aluSub, n, a, b)
	}
	m := mask(n)
	a, b = a&m, b&m
	res := (a - b - 1) & m
	c.flags.setBits(flagsStatus, ofResult(n, res)|flag(a <= b, flagCF)|(a^b^res)&flagAF|flag(signed(n, (a^b)&(a^res)), flagOF))
	return res
}

// signed is the sign bit of n bytes.
func signed(n uint8, v uint64) bool { return int64(v<<shiftOf(n)) < 0 }

// aluToRM is OP r/m, reg.
func aluToRM(c *CPU, u *uop) status {
	return c.aluRM(u, u.Opcode>>3&7, c.reg(u, u.Reg, u.OperandSize))
}

// aluImm is OP r/m, imm.
func aluImm(c *CPU, u *uop) status { return c.aluRM(u, u.Ext(), uint64(u.Imm)) }

func (c *CPU) aluRM(u *uop, op uint8, b uint64) status {
	n := u.OperandSize
	if !u.Mem {
		if res := c.alu(op, n, c.reg(u, u.RM, n), b&mask(n)); op != aluCmp {
			c.setReg(u, u.RM, n, res)
		}
		return next
	}
	if op == aluCmp {
		a, ok := c.rm(u, n)
		if !ok {
			return faulted
		}
		c.alu(op, n, a, b&mask(n))
		return next
	}
	return c.modify(u, n, func(a uint64) uint64 { return c.alu(op, n, a, b&mask(n)) })
}

// modify replaces the r/m operand by a function of it. Where it cannot be written, flags are as
// before.
func (c *CPU) modify(u *uop, n uint8, f func(uint64) uint64) status {
	if !u.Mem {
		c.setReg(u, u.RM, n, f(c.reg(u, u.RM, n)))
		return next
	}
	return c.modifyAt(u, c.address(u), n, f)
}

// modifyAt is modify of memory.
func (c *CPU) modifyAt(u *uop, addr uint64, n uint8, f func(uint64) uint64) status {
	if u.Lock || u.Map == decode.One && u.Opcode&^1 == 0x86 { // XCHG
		return c.exchange(addr, n, f)
	}
	return c.modifyPlainly(addr, n, f)
}

func (c *CPU) modifyPlainly(addr uint64, n uint8, f func(uint64) uint64) status {
	a, ok := c.load(addr, n)
	if !ok {
		return faulted
	}
	before := c.flags
	if !c.store(addr, n, f(a)) {
		c.flags = before
		return faulted
	}
	return next
}

// aluFromRM is OP reg, r/m.
func aluFromRM(c *CPU, u *uop) status {
	n := u.OperandSize
	b, ok := c.rm(u, n)
	if !ok {
		return faulted
	}
	op := u.Opcode >> 3 & 7
	if res := c.alu(op, n, c.reg(u, u.Reg, n), b); op != aluCmp {
		c.setReg(u, u.Reg, n, res)
	}
	return next
}

// aluAccumulator is OP AL/AX/EAX/RAX, imm.
func aluAccumulator(c *CPU, u *uop) status {
	n, op := u.OperandSize, u.Opcode>>3&7
	if res := c.alu(op, n, c.R[rax]&mask(n), uint64(u.Imm)&mask(n)); op != aluCmp {
		c.setReg(u, rax, n, res)
	}
	return next
}

// test is TEST r/m, reg; testImm with an immediate.
func test(c *CPU, u *uop) status { return c.test(u, c.reg(u, u.Reg, u.OperandSize)) }

func testAccumulator(c *CPU, u *uop) status {
	c.alu(aluAnd, u.OperandSize, c.R[rax], uint64(u.Imm)&mask(u.OperandSize))
	return next
}

func (c *CPU) test(u *uop, b uint64) status {
	a, ok := c.rm(u, u.OperandSize)
	if !ok {
		return faulted
	}
	c.alu(aluAnd, u.OperandSize, a, b&mask(u.OperandSize))
	return next
}

// incDec is INC and DEC: opcode extension 0 and 1. CF stays.
func incDec(c *CPU, u *uop) status {
	n := u.OperandSize
	op := aluAdd + u.Ext()&1*aluSub
	return c.modify(u, n, func(a uint64) uint64 {
		carry := flag(c.flags.carry(), flagCF)
		res := c.alu(op, n, a, 1)
		c.flags.setBits(flagCF, carry)
		return res
	})
}

// incDecReg is INC and DEC outside of 64-bit mode.
func incDecReg(c *CPU, u *uop) status {
	op := *u
	op.Reg = decode.Reg(u.Opcode >> 3 & 1)
	return incDec(c, &op)
}

// group3 is TEST, NOT, NEG, MUL, IMUL, DIV and IDIV.
func group3(c *CPU, u *uop) status {
	n := u.OperandSize
	switch u.Ext() {
	case 0, 1:
		return c.test(u, uint64(u.Imm))
	case 2:
		return c.modify(u, n, func(a uint64) uint64 { return ^a })
	case 3:
		return c.modify(u, n, func(a uint64) uint64 { return c.alu(aluSub, n, 0, a) })
	}
	a, ok := c.rm(u, n)
	if !ok {
		return faulted
	}
	switch u.Ext() {
	case 4:
		c.multiply(u, a, false)
		return next
	case 5:
		c.multiply(u, a, true)
		return next
	case 6:
		return c.divide(u, a)
	}
	return c.divideSigned(u, a)
}
