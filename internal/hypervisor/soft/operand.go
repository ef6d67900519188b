package soft

import (
	"encoding/binary"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// masks have the bits of so many bytes.
var masks = [16]uint64{0, 0xFF, 0xFFFF, 0xFF_FFFF, 0xFFFF_FFFF, 0xFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF, 0xFF_FFFF_FFFF_FFFF, ^uint64(0)}

// mask has the bits of n bytes, 8 at most.
func mask(n uint8) uint64 { return masks[n&15] }

// signExtend extends v from n bytes.
func signExtend(v uint64, n uint8) uint64 {
	s := shiftOf(n)
	return uint64(int64(v<<s) >> s)
}

// reg reads a register of n bytes. Without REX the byte registers 4 to 7 are AH to BH.
func (c *CPU) reg(u *uop, r decode.Reg, n uint8) uint64 {
	if n == 1 && r&^3 == 4 && !u.REX {
		return c.R[r&3] >> 8 & 0xFF
	}
	return c.R[r&15] & mask(n)
}

// setReg writes one: 32 bits clear the upper half, 8 and 16 leave the rest.
func (c *CPU) setReg(u *uop, r decode.Reg, n uint8, v uint64) {
	switch {
	case n == 8:
		c.R[r&15] = v
	case n == 4:
		c.R[r&15] = v & 0xFFFF_FFFF
	case n == 1 && r&^3 == 4 && !u.REX:
		c.R[r&3] = c.R[r&3]&^0xFF00 | v&0xFF<<8
	default:
		m := mask(n)
		c.R[r&15] = c.R[r&15]&^m | v&m
	}
}

// offset is the effective address of the memory operand, without the segment's base.
func (c *CPU) offset(u *uop) uint64 {
	v := uint64(int64(u.Disp))
	switch {
	case u.Base == decode.RIP:
		v += c.RIP + uint64(u.Len)
	case u.Base < decode.None:
		v += c.R[u.Base]
	}
	if u.Index < decode.None {
		v += c.R[u.Index] << u.Scale
	}
	return v & mask(u.AddressSize)
}

// address is the linear address of the memory operand.
func (c *CPU) address(u *uop) uint64 { return c.wrap(c.bases[u.Seg] + c.offset(u)) }

const pageSize = 4096

// load reads n bytes, 8 at most.
func (c *CPU) load(addr uint64, n uint8) (v uint64, ok bool) {
	if addr&(pageSize-1)+uint64(n) > pageSize {
		var b [8]byte
		if !c.access(addr, b[:n], false) {
			return 0, false
		}
		return binary.LittleEndian.Uint64(b[:]), true
	}
	b := c.bytes(addr, int(n), accessRead)
	if b == nil {
		return c.loadSlow(addr, n)
	}
	switch n {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(binary.LittleEndian.Uint16(b)), true
	case 4:
		return uint64(binary.LittleEndian.Uint32(b)), true
	}
	return binary.LittleEndian.Uint64(b), true
}

// store writes n bytes, all or none.
func (c *CPU) store(addr uint64, n uint8, v uint64) bool {
	if addr&(pageSize-1)+uint64(n) > pageSize {
		b := binary.LittleEndian.AppendUint64(nil, v)
		return c.access(addr, b[:n], true)
	}
	b := c.bytes(addr, int(n), accessWrite)
	if b == nil {
		return c.storeSlow(addr, n, v)
	}
	switch n {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	default:
		binary.LittleEndian.PutUint64(b, v)
	}
	return true
}

// get reads n bytes.
func get(p unsafe.Pointer, n uint8) uint64 {
	switch n {
	case 1:
		return uint64(*(*uint8)(p))
	case 2:
		return uint64(*(*uint16)(p))
	case 4:
		return uint64(*(*uint32)(p))
	}
	return *(*uint64)(p)
}

// put writes n bytes of v.
func put(b []byte, n uint8, v uint64) {
	var all [8]byte
	binary.LittleEndian.PutUint64(all[:], v)
	copy(b[:n], all[:])
}

// access copies between b and memory of two pages, both of which are there before anything
// is written.
func (c *CPU) access(addr uint64, b []byte, write bool) bool {
	first := int(pageSize - addr&(pageSize-1))
	kind := accessRead
	if write {
		kind = accessWrite
	}
	low := c.bytes(addr, first, kind)
	if low == nil {
		return c.acrossSlow(addr, b, write)
	}
	high := c.bytes(c.wrap(addr+uint64(first)), len(b)-first, kind)
	if high == nil {
		return c.acrossSlow(addr, b, write)
	}
	if write {
		copy(low, b[:first])
		copy(high, b[first:])
	} else {
		copy(b[:first], low)
		copy(b[first:], high)
	}
	return true
}

// acrossSlow is access where a page is not plain memory: a byte at a time, after both pages
// have been found to be there.
func (c *CPU) acrossSlow(addr uint64, b []byte, write bool) bool {
	kind := accessRead
	if write {
		kind = accessWrite
	}
	addr, ok := c.inSegment(addr, len(b), kind)
	if !ok {
		return false
	}
	for _, at := range []uint64{addr, c.wrap((addr + uint64(len(b)) - 1) &^ (pageSize - 1))} {
		if _, ok := c.translate(at, kind); !ok {
			return false
		}
	}
	if !c.checkAlignment(addr, len(b)) {
		return false
	}
	for i := range b {
		at := c.wrap(addr + uint64(i))
		if write {
			if !c.store(at, 1, uint64(b[i])) {
				return false
			}
			continue
		}
		v, ok := c.load(at, 1)
		if !ok {
			return false
		}
		b[i] = byte(v)
	}
	return true
}

// wrap cuts a linear address to 32 bits, and its mark (guard.go), outside of 64-bit mode.
func (c *CPU) wrap(addr uint64) uint64 {
	if c.mode != decode.Mode64 && !c.implicit {
		return addr & (0xFFFF_FFFF | markMask)
	}
	return addr
}

// rm reads the operand that ModRM's r/m names, of n bytes.
func (c *CPU) rm(u *uop, n uint8) (uint64, bool) {
	if u.Mem {
		return c.load(c.address(u), n)
	}
	return c.reg(u, u.RM, n), true
}

// setRM writes it.
func (c *CPU) setRM(u *uop, n uint8, v uint64) bool {
	if u.Mem {
		return c.store(c.address(u), n, v)
	}
	c.setReg(u, u.RM, n, v)
	return true
}
