package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// Instructions that 64-bit mode does not have.

// farSegment is the segment register that one of these loads.
func farSegment(u *uop) decode.Seg {
	switch u.Opcode {
	case 0xC4:
		return decode.ES
	case 0xC5:
		return decode.DS
	case 0xB2:
		return decode.SS
	case 0xB4:
		return decode.FS
	}
	return decode.GS
}

// loadFar is LDS, LES, LSS, LFS and LGS.
func loadFar(c *CPU, u *uop) status {
	selector, v, ok := c.farPointer(u)
	if !ok {
		return faulted
	}
	if s := c.loadSegment(farSegment(u), selector); s != next {
		return s
	}
	c.setReg(u, u.Reg, u.OperandSize, v)
	return next
}

// extendOrAdjust is MOVSXD, and outside of 64-bit mode ARPL.
func extendOrAdjust(c *CPU, u *uop) status {
	if c.mode == decode.Mode64 {
		return extend(c, u)
	}
	if c.cr0&cr0PE == 0 {
		return c.raise(vectorUD)
	}
	v, ok := c.rm(u, 2)
	if !ok {
		return faulted
	}
	lower := v&3 < c.R[u.Reg]&3
	if lower && !c.setRM(u, 2, v&^3|c.R[u.Reg]&3) {
		return faulted
	}
	c.flags.setBits(flagZF, flag(lower, flagZF))
	return next
}

// bound is BOUND: an index is compared with two numbers.
func bound(c *CPU, u *uop) status {
	n := u.OperandSize
	at := c.address(u)
	low, ok := c.load(at, n)
	if !ok {
		return faulted
	}
	high, ok := c.load(c.wrap(at+uint64(n)), n)
	if !ok {
		return faulted
	}
	i := int64(signExtend(c.R[u.Reg], n))
	if i < int64(signExtend(low, n)) || i > int64(signExtend(high, n)) {
		return c.raise(vectorBR)
	}
	return next
}

// decimal is DAA, DAS, AAA and AAS.
func decimal(c *CPU, u *uop) status {
	al, carry := c.R[rax]&0xFF, c.flags.carry()
	low := al&15 > 9 || c.flags.adjust()
	subtract := u.Opcode&8 != 0
	if u.Opcode >= 0x37 { // AAA, AAS
		ax := c.R[rax] & 0xFFFF
		if low && subtract {
			ax = ax - 0x106
		} else if low {
			ax = ax + 0x106
		}
		c.setReg(u, rax, 2, ax&0xFF0F)
		c.flags.setBits(flagsStatus, ofResult(1, ax&0xF)|flag(low, flagAF|flagCF))
		return next
	}
	high, by := al > 0x99 || carry, uint64(0)
	if low {
		by = 6
	}
	if high {
		by |= 0x60
	}
	res := al + by
	if subtract {
		res = al - by
		high = high || low && al < 6
	}
	c.setReg(u, rax, 1, res)
	c.flags.setBits(flagsStatus, ofResult(1, res)|flag(high, flagCF)|flag(low, flagAF))
	return next
}

// decimalPair is AAM and AAD.
func decimalPair(c *CPU, u *uop) status {
	base, ax := uint64(u.Imm)&0xFF, c.R[rax]&0xFFFF
	if u.Opcode == 0xD4 {
		if base == 0 {
			return c.raise(vectorDE)
		}
		ax = ax&0xFF/base<<8 | ax&0xFF%base
	} else {
		ax = (ax + ax>>8*base) & 0xFF
	}
	c.setReg(u, rax, 2, ax)
	c.flags.setBits(flagsStatus, ofResult(1, ax))
	return next
}

// salc is SALC: AL becomes CF.
func salc(c *CPU, u *uop) status {
	c.R[rax] = c.R[rax]&^0xFF | flag(c.flags.carry(), 0xFF)
	return next
}

// xlat is XLAT: a byte of a table.
func xlat(c *CPU, u *uop) status {
	off := (c.R[rbx] + c.R[rax]&0xFF) & mask(u.AddressSize)
	v, ok := c.load(c.wrap(c.bases[u.Seg]+off), 1)
	if !ok {
		return faulted
	}
	c.R[rax] = c.R[rax]&^0xFF | v
	return next
}
