package soft

import (
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// Accesses that need more than a translation: to segments that have a limit or rights, to pages with
// data breakpoints, and with alignment checks. Their translations are not kept, so that loadSlow,
// storeSlow and acrossSlow check each one, and no other access pays for it.
//
// Outside of 64-bit mode the base of a segment that is to be checked has a mark: the segment's number
// and 1, from bit 60 on. Linear addresses have 32 bits there, so that the mark stays in an address
// until the access, and finds no kept translation: none is canonical that has a mark, also of 64-bit mode's.
const (
	markShift = 60
	markMask  = 7 << markShift
)

// guarded reports whether accesses to a page are to be checked one by one.
func (c *CPU) guarded(addr uint64) bool {
	return c.mode != decode.Mode64 && addr&markMask != 0 && !c.implicit || c.aligned && c.isUser() || c.debug.data && c.watched(addr)
}

// unmark is a linear address without a mark.
func (c *CPU) unmark(addr uint64) uint64 {
	if c.mode != decode.Mode64 {
		return addr & 0xFFFF_FFFF
	}
	return addr
}

// checked is the linear and the physical address of an access of n bytes; ok is false where it is a
// fault.
func (c *CPU) checked(addr uint64, n int, a access) (linear, phys uint64, ok bool) {
	if linear, ok = c.inSegment(addr, n, a); !ok {
		return 0, 0, false
	}
	if phys, ok = c.translate(linear, a); !ok {
		return 0, 0, false
	}
	return linear, phys, c.checkAlignment(linear, n)
}

// checkAlignment raises #AC where an access is not aligned and that is checked.
func (c *CPU) checkAlignment(addr uint64, n int) bool {
	if c.aligned && c.isUser() && addr&uint64(n-1) != 0 && n&(n-1) == 0 {
		c.raise(vectorAC)
		return false
	}
	return true
}

// findAlignment finds whether alignment is checked, after the privilege, RFLAGS.AC or CR0.AM have
// changed.
func (c *CPU) findAlignment() {
	on := c.cpl == 3 && c.flags.other&flagAC != 0 && c.cr0&cr0AM != 0
	if on && !c.aligned {
		c.flushTLB(true)
	}
	c.aligned = on
}

// inSegment takes the mark off an address, and checks what it asks for.
// Source: Intel SDM volume 3, chapter 5.3 to 5.5.
func (c *CPU) inSegment(addr uint64, n int, a access) (uint64, bool) {
	if c.mode == decode.Mode64 || addr&markMask == 0 || c.implicit {
		return addr, true
	}
	to := decode.Seg(addr>>markShift&7 - 1)
	s := &c.segments[to]
	linear := addr & 0xFFFF_FFFF
	if c.cr0&cr0PE != 0 && !s.allows(a) || !s.contains((linear-s.base)&0xFFFF_FFFF, uint64(n)) {
		vector := uint8(vectorGP)
		if to == decode.SS {
			vector = vectorSS
		}
		c.raise(vector)
		return 0, false
	}
	return linear, true
}

// allows reports whether a segment's rights allow an access; those of a null segment allow none.
func (s *segment) allows(a access) bool {
	switch {
	case !s.is(segmentS | segmentPresent):
		return false
	case a == accessWrite:
		return s.is(segmentWrite) && !s.is(segmentCode)
	}
	return !s.is(segmentCode) || s.is(segmentWrite)
}

// contains reports whether n bytes at an offset lie within a segment.
func (s *segment) contains(off, n uint64) bool {
	last := off + n - 1
	if s.attr&(segmentCode|segmentConforming) != segmentConforming { // it does not grow downwards
		return last <= uint64(s.limit)
	}
	top := uint64(0xFFFF)
	if s.is(segmentBig) {
		top = 0xFFFF_FFFF
	}
	return off > uint64(s.limit) && last <= top
}

// open reports whether a segment allows every access to all of 4 GiB.
func (s *segment) open() bool {
	return s.limit == ^uint32(0) && s.attr&(segmentPresent|segmentS|segmentCode|segmentConforming|segmentWrite) == segmentPresent|segmentS|segmentWrite
}

// bounded reports whether the code segment has a limit.
func (c *CPU) bounded() bool {
	return c.mode != decode.Mode64 && c.segments[decode.CS].limit != ^uint32(0)
}

// fetchable reports whether the instruction at RIP lies within the code segment's limit; else c.fault is set.
func (c *CPU) fetchable() bool {
	limit := uint64(c.segments[decode.CS].limit)
	if c.RIP <= limit {
		u := c.find()
		if u == nil {
			return false
		}
		if c.RIP+uint64(u.Len)-1 <= limit {
			return true
		}
	}
	c.raise(vectorGP)
	return false
}

// stackFault makes the fault of an address that is not canonical #SS, where it is one of the stack.
func (c *CPU) stackFault(u *uop) {
	f := &c.fault
	if f.Vector != vectorGP || f.Addr == 0 || c.bus.waiting {
		return
	}
	at := f.Addr
	f.Addr = 0
	stack := usesStack(&u.Inst)
	if u.Mem && (!stack || at-c.address(u)+16 < 32) { // the operand's
		stack = u.Seg == decode.SS
	}
	if stack {
		f.Vector = vectorSS
	}
}

// usesStack reports whether an instruction pushes or pops.
func usesStack(in *decode.Inst) bool {
	o := in.Opcode
	switch in.Map {
	case decode.One:
		switch {
		case o >= 0x50 && o <= 0x5F, o == 0x68, o == 0x6A, o == 0x8F, o == 0x9C, o == 0x9D, o == 0xC2, o == 0xC3, o >= 0xC8 && o <= 0xCB, o == 0xCF, o == 0xE8:
			return true
		case o == 0xFF:
			return in.Ext() == 2 || in.Ext() == 3 || in.Ext() == 6
		}
	case decode.Two:
		return o == 0xA0 || o == 0xA1 || o == 0xA8 || o == 0xA9
	}
	return false
}

// unsupportedHere is what the software processor does not have and the guest must not miss: it ends the
// machine.
func (c *CPU) unsupportedHere(what string) status {
	c.unsupported = what
	c.stop(what + ", which the software processor does not have")
	return exits
}

// refuse ends the machine for unsupported.
func (c *CPU) refuse(e *hypervisor.Exit) bool {
	c.unsupportedHere(c.unsupported)
	*e = c.bus.exit
	return true
}
