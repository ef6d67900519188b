package soft

import (
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/native"
)

// opcodeReg is the register that the opcode's lower bits name.
func (c *CPU) opcodeReg(u *uop) decode.Reg { return u.RM }

// movToRM is MOV r/m, reg; movFromRM the other way.
func movToRM(c *CPU, u *uop) status {
	if !c.setRM(u, u.OperandSize, c.reg(u, u.Reg, u.OperandSize)) {
		return faulted
	}
	return next
}

func movFromRM(c *CPU, u *uop) status {
	v, ok := c.rm(u, u.OperandSize)
	if !ok {
		return faulted
	}
	c.setReg(u, u.Reg, u.OperandSize, v)
	return next
}

func movImmRM(c *CPU, u *uop) status {
	if !c.setRM(u, u.OperandSize, uint64(u.Imm)&mask(u.OperandSize)) {
		return faulted
	}
	return next
}

func movImmReg(c *CPU, u *uop) status {
	c.setReg(u, c.opcodeReg(u), u.OperandSize, uint64(u.Imm))
	return next
}

// movOffset is MOV between the accumulator and an address.
func movOffset(c *CPU, u *uop) status {
	addr := c.wrap(c.bases[u.Seg] + uint64(u.Imm))
	if u.Opcode&2 != 0 {
		if !c.store(addr, u.OperandSize, c.R[rax]) {
			return faulted
		}
		return next
	}
	v, ok := c.load(addr, u.OperandSize)
	if !ok {
		return faulted
	}
	c.setReg(u, rax, u.OperandSize, v)
	return next
}

// extend is MOVZX, MOVSX and MOVSXD.
func extend(c *CPU, u *uop) status {
	from := uint8(1)
	switch {
	case u.Map == decode.One: // MOVSXD
		from = min(4, u.OperandSize)
	case u.Opcode&1 != 0:
		from = 2
	}
	v, ok := c.rm(u, from)
	if !ok {
		return faulted
	}
	if u.Map == decode.One || u.Opcode >= 0xBE {
		v = signExtend(v, from)
	}
	c.setReg(u, u.Reg, u.OperandSize, v)
	return next
}

func lea(c *CPU, u *uop) status {
	c.setReg(u, u.Reg, u.OperandSize, c.offset(u))
	return next
}

// xchg is XCHG r/m, reg.
func xchg(c *CPU, u *uop) status {
	n := u.OperandSize
	v := c.reg(u, u.Reg, n)
	if !u.Mem {
		old := c.reg(u, u.RM, n)
		c.setReg(u, u.RM, n, v)
		c.setReg(u, u.Reg, n, old)
		return next
	}
	var old uint64
	if s := c.modify(u, n, func(a uint64) uint64 { old = a; return v }); s != next {
		return s
	}
	c.setReg(u, u.Reg, n, old)
	return next
}

func xchgAccumulator(c *CPU, u *uop) status {
	n, r := u.OperandSize, c.opcodeReg(u)
	a, b := c.reg(u, rax, n), c.reg(u, r, n)
	c.setReg(u, rax, n, b)
	c.setReg(u, r, n, a)
	return next
}

// nothing is NOP, and hints.
func nothing(*CPU, *uop) status { return next }

// widen is CBW, CWDE and CDQE; widenPair CWD, CDQ and CQO.
func widen(c *CPU, u *uop) status {
	c.setReg(u, rax, u.OperandSize, signExtend(c.R[rax], u.OperandSize/2))
	return next
}

func widenPair(c *CPU, u *uop) status {
	n := u.OperandSize
	c.setReg(u, rdx, n, uint64(int64(signExtend(c.R[rax], n))>>63))
	return next
}

func cmov(c *CPU, u *uop) status {
	v, ok := c.rm(u, u.OperandSize)
	if !ok {
		return faulted
	}
	if !c.condition(u.Opcode & 15) {
		v = c.reg(u, u.Reg, u.OperandSize) // 32 bits clear the upper half all the same
	}
	c.setReg(u, u.Reg, u.OperandSize, v)
	return next
}

func setcc(c *CPU, u *uop) status {
	if !c.setRM(u, 1, flag(c.condition(u.Opcode&15), 1)) {
		return faulted
	}
	return next
}

func sahf(c *CPU, _ *uop) status {
	const mask = flagSF | flagZF | flagAF | flagPF | flagCF
	c.flags.setBits(mask, c.R[rax]>>8)
	return next
}

func lahf(c *CPU, u *uop) status {
	const mask = flagSF | flagZF | flagAF | flagPF | flagCF
	c.R[rax] = c.R[rax]&^0xFF00 | (c.flags.status()&mask|2)<<8
	return next
}

// carryFlag is CMC, CLC and STC; directionFlag CLD and STD.
func carryFlag(c *CPU, u *uop) status {
	v := uint64(u.Opcode & 1)
	if u.Opcode == 0xF5 {
		v = flag(!c.flags.carry(), flagCF)
	}
	c.flags.setBits(flagCF, v)
	return next
}

func directionFlag(c *CPU, u *uop) status {
	c.flags.other = c.flags.other&^flagDF | flag(u.Opcode&1 != 0, flagDF)
	return next
}

// cmpxchg is CMPXCHG. Memory is written also where it differs, with what it has; a register is
// not, so that its upper half stays.
func cmpxchg(c *CPU, u *uop) status {
	n := u.OperandSize
	want, to := c.R[rax]&mask(n), c.reg(u, u.Reg, n)
	if !u.Mem {
		old := c.reg(u, u.RM, n)
		if c.alu(aluCmp, n, want, old); old == want {
			c.setReg(u, u.RM, n, to)
		} else {
			c.setReg(u, rax, n, old)
		}
		return next
	}
	var old uint64
	s := c.modify(u, n, func(a uint64) uint64 {
		old = a
		if c.alu(aluCmp, n, want, a); a == want {
			return to
		}
		return a
	})
	if s == next && old != want {
		c.setReg(u, rax, n, old)
	}
	return s
}

// cmpxchgPair is CMPXCHG8B and CMPXCHG16B.
func cmpxchgPair(c *CPU, u *uop) status {
	if !u.Mem && u.Ext() >= 6 && u.Rep == 0 {
		return c.random(u)
	}
	if !u.Mem || u.Ext() != 1 {
		return c.raise(vectorUD)
	}
	n := uint8(4)
	if u.W {
		n = 8
	}
	addr := c.address(u)
	if n == 8 && addr&15 != 0 {
		return c.raise(vectorGP)
	}
	m := mask(n)
	wantLow, wantHigh, toLow, toHigh := c.R[rax]&m, c.R[rdx]&m, c.R[rbx]&m, c.R[rcx]&m
	var low, high uint64
	var equal bool
	if n == 4 {
		s := c.exchange(addr, 8, func(a uint64) uint64 {
			low, high = a&m, a>>32
			if equal = low == wantLow && high == wantHigh; equal {
				return toHigh<<32 | toLow
			}
			return a
		})
		if s != next {
			return s
		}
	} else {
		p, phys, code := c.host(addr, 16)
		switch {
		case p != nil:
			if low, high, equal = native.CompareAndSwap16(p, wantLow, wantHigh, toLow, toHigh); code {
				c.wrote(phys)
				c.wrote(phys + 8)
			}
		case c.refused || c.mustBeAlone(addr, 16):
			return faulted
		default:
			var ok bool
			if low, high, equal, ok = c.swapPlainly(addr, [4]uint64{wantLow, wantHigh, toLow, toHigh}); !ok {
				return faulted
			}
		}
	}
	if !equal {
		c.R[rax], c.R[rdx] = low, high
	}
	c.flags.setBits(flagZF, flag(equal, flagZF))
	return next
}

// swapPlainly is CMPXCHG16B where the host can't lock the memory. r are RAX, RDX, RBX and RCX.
func (c *CPU) swapPlainly(addr uint64, r [4]uint64) (low, high uint64, equal, ok bool) {
	if low, ok = c.load(addr, 8); !ok {
		return
	}
	if high, ok = c.load(c.wrap(addr+8), 8); !ok {
		return
	}
	toLow, toHigh := low, high
	if equal = low == r[0] && high == r[1]; equal {
		toLow, toHigh = r[2], r[3]
	}
	at, ok := c.inSegment(addr, 16, accessWrite)
	if ok {
		_, ok = c.translate(c.wrap(at+15), accessWrite)
	}
	ok = ok && c.store(addr, 8, toLow) && c.store(c.wrap(addr+8), 8, toHigh)
	return
}

// xadd is XADD.
func xadd(c *CPU, u *uop) status {
	n := u.OperandSize
	by := c.reg(u, u.Reg, n)
	var old uint64
	if !u.Mem {
		old = c.reg(u, u.RM, n)
		sum := c.alu(aluAdd, n, old, by)
		c.setReg(u, u.Reg, n, old)
		c.setReg(u, u.RM, n, sum)
		return next
	}
	if s := c.modify(u, n, func(a uint64) uint64 { old = a; return c.alu(aluAdd, n, a, by) }); s != next {
		return s
	}
	c.setReg(u, u.Reg, n, old)
	return next
}
