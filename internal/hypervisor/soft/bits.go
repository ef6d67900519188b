package soft

import "math/bits"

// bitOps are BT, BTS, BTR and BTC.
const (
	bitTest = iota
	bitSet
	bitReset
	bitComplement
)

// bit is one of them with a register's bit number, which reaches beyond a memory operand;
// bitImm has an immediate.
func bit(c *CPU, u *uop) status {
	return c.bit(u, u.Opcode>>3&3, c.reg(u, u.Reg, u.OperandSize), true)
}

func bitImm(c *CPU, u *uop) status { return c.bit(u, u.Ext()&3, uint64(u.Imm), false) }

func (c *CPU) bit(u *uop, op uint8, number uint64, far bool) status {
	n := u.OperandSize
	width := uint64(8 * n)
	at := number & (width - 1)
	do := func(a uint64) uint64 {
		c.flags.setBits(flagCF, a>>at&1)
		switch op {
		case bitSet:
			return a | 1<<at
		case bitReset:
			return a &^ (1 << at)
		case bitComplement:
			return a ^ 1<<at
		}
		return a
	}
	if !u.Mem {
		if a := do(c.reg(u, u.RM, n)); op != bitTest {
			c.setReg(u, u.RM, n, a)
		}
		return next
	}
	off := c.offset(u)
	if far {
		off += uint64(int64(signExtend(number, n))>>3) &^ uint64(n-1)
	}
	addr := c.wrap(c.bases[u.Seg] + off&mask(u.AddressSize))
	if op != bitTest {
		return c.modifyAt(u, addr, n, do)
	}
	a, ok := c.load(addr, n)
	if !ok {
		return faulted
	}
	do(a)
	return next
}

// scan is BSF and BSR. Without a bit the destination stays, as processors have it.
func scan(c *CPU, u *uop) status {
	n := u.OperandSize
	a, ok := c.rm(u, n)
	if !ok {
		return faulted
	}
	c.flags.setBits(flagZF, flag(a == 0, flagZF))
	if a == 0 {
		return next
	}
	v := bits.TrailingZeros64(a)
	if u.Opcode == 0xBD {
		v = bits.Len64(a) - 1
	}
	c.setReg(u, u.Reg, n, uint64(v))
	return next
}

// popcnt is POPCNT.
func popcnt(c *CPU, u *uop) status {
	n := u.OperandSize
	a, ok := c.rm(u, n)
	if !ok {
		return faulted
	}
	c.setReg(u, u.Reg, n, uint64(bits.OnesCount64(a)))
	c.flags.setBits(flagsStatus, flag(a == 0, flagZF))
	return next
}

// bswap is BSWAP. With 16 bits, where it is undefined, processors clear the register's lower half.
func bswap(c *CPU, u *uop) status {
	r := c.opcodeReg(u)
	switch u.OperandSize {
	case 8:
		c.R[r] = bits.ReverseBytes64(c.R[r])
	case 4:
		c.R[r] = uint64(bits.ReverseBytes32(uint32(c.R[r])))
	default:
		c.R[r] &^= 0xFFFF
	}
	return next
}

// movbe is MOVBE in both directions.
func movbe(c *CPU, u *uop) status {
	n := u.OperandSize
	swap := func(v uint64) uint64 { return bits.ReverseBytes64(v) >> shiftOf(n) }
	addr := c.address(u)
	if u.Opcode == 0xF1 {
		if !c.store(addr, n, swap(c.reg(u, u.Reg, n))) {
			return faulted
		}
		return next
	}
	v, ok := c.load(addr, n)
	if !ok {
		return faulted
	}
	c.setReg(u, u.Reg, n, swap(v))
	return next
}

// crc32 is CRC32 of SSE4.2, with the polynomial 0x11EDC6F41, bits reflected.
func crc32(c *CPU, u *uop) status {
	n := u.OperandSize
	if u.Opcode == 0xF0 {
		n = 1
	}
	v, ok := c.rm(u, n)
	if !ok {
		return faulted
	}
	crc := c.R[u.Reg] & 0xFFFF_FFFF
	for range n {
		crc ^= v & 0xFF
		v >>= 8
		for range 8 {
			crc = crc>>1 ^ 0x82F6_3B78&-(crc&1)
		}
	}
	c.R[u.Reg] = crc
	return next
}
