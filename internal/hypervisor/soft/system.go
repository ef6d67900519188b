package soft

import (
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// Bits of control registers and EFER.
const (
	cr0PE = 1 << 0
	cr0MP = 1 << 1
	cr0EM = 1 << 2
	cr0TS = 1 << 3
	cr0ET = 1 << 4
	cr0NE = 1 << 5
	cr0WP = 1 << 16
	cr0AM = 1 << 18
	cr0NW = 1 << 29
	cr0CD = 1 << 30
	cr0PG = 1 << 31

	cr0Known = cr0PE | cr0MP | cr0EM | cr0TS | cr0ET | cr0NE | cr0WP | cr0AM | cr0NW | cr0CD | cr0PG

	cr4DE         = 1 << 3
	cr4PSE        = 1 << 4
	cr4PAE        = 1 << 5
	cr4MCE        = 1 << 6
	cr4PGE        = 1 << 7
	cr4PCE        = 1 << 8
	cr4OSFXSR     = 1 << 9
	cr4OSXMMEXCPT = 1 << 10
	cr4SMEP       = 1 << 20

	cr4Known = 1<<2 | cr4DE | cr4PSE | cr4PAE | cr4MCE | cr4PGE | cr4PCE | cr4OSFXSR | cr4OSXMMEXCPT | cr4SMEP

	eferSCE = 1 << 0
	eferLME = 1 << 8
	eferLMA = 1 << 10
	eferNX  = 1 << 11

	eferKnown = eferSCE | eferLME | eferLMA | eferNX
)

// system are the registers of system software.
type system struct {
	cr0, cr2, cr3, cr4, efer uint64
	dr                       [8]uint64
	segments                 [6]segment
	tr, ldt                  segment
	gdt, idt                 hypervisor.Table
	msr                      msrs
	implicit                 bool // the access is the processor's own: of a table, whatever the privilege
}

// movCR is MOV to and from control registers.
func movCR(c *CPU, u *uop) status {
	if u.Reg == 1 || u.Reg > 4 && u.Reg != 8 {
		return c.raise(vectorUD)
	}
	if c.cpl != 0 {
		return c.raise(vectorGP)
	}
	write := u.Opcode == 0x22
	v := c.R[u.RM]
	switch u.Reg {
	case 0:
		if write {
			return c.setCR0(v)
		}
		v = c.cr0
	case 2:
		if write {
			c.cr2 = v
		}
		v = c.cr2
	case 3:
		if write {
			if c.efer&eferLMA != 0 && v>>c.physBits() != 0 {
				return c.raise(vectorGP)
			}
			c.cr3 = v
			c.flushTLB(false)
		}
		v = c.cr3
	case 4:
		if write {
			return c.setCR4(v)
		}
		v = c.cr4
	case 8:
		if write {
			if v > 15 {
				return c.raise(vectorGP)
			}
			if c.apic != nil {
				c.apic.setTPR(uint32(v) << 4)
			}
			return next
		}
		if v = 0; c.apic != nil {
			v = uint64(c.apic.tpr() >> 4)
		}
	}
	if !write {
		c.setReg(u, u.RM, u.OperandSize, v)
	}
	return next
}

func (c *CPU) setCR0(v uint64) status {
	v |= cr0ET
	if v>>32 != 0 || v&cr0PG != 0 && v&cr0PE == 0 || v&cr0NW != 0 && v&cr0CD == 0 ||
		v&cr0PG != 0 && c.efer&eferLME != 0 && c.cr4&cr4PAE == 0 || v&cr0PG == 0 && c.mode == decode.Mode64 {
		return c.raise(vectorGP)
	}
	if v&cr0PG != 0 && c.cr0&cr0PG == 0 && c.efer&eferLME != 0 && c.segments[decode.CS].is(segmentLong) {
		return c.raise(vectorGP)
	}
	if v&cr0PG != 0 && c.efer&eferLME == 0 {
		return c.unsupportedHere("32-bit paging")
	}
	v &= cr0Known // the others stay 0, without a fault
	changed := c.cr0 ^ v
	c.cr0 = v
	if changed&cr0PG != 0 {
		c.efer &^= eferLMA
		if v&cr0PG != 0 {
			c.efer |= eferLMA
		}
	}
	if changed&(cr0PG|cr0WP|cr0PE) != 0 {
		c.flushTLB(true)
		c.setMode()
	}
	c.findAlignment()
	return next
}

func (c *CPU) setCR4(v uint64) status {
	if v&^cr4Known != 0 || c.efer&eferLMA != 0 && v&cr4PAE == 0 {
		return c.raise(vectorGP)
	}
	changed := c.cr4 ^ v
	c.cr4 = v
	c.flushTLB(true)
	if changed&cr4DE != 0 {
		c.armBreakpoints()
	}
	return next
}

// setMode finds the mode from the code segment and the registers.
func (c *CPU) setMode() {
	cs := &c.segments[decode.CS]
	switch {
	case c.efer&eferLMA != 0 && cs.attr&segmentLong != 0:
		c.mode = decode.Mode64
	case cs.attr&segmentBig != 0:
		c.mode = decode.Mode32
	default:
		c.mode = decode.Mode16
	}
	for s := range c.segments {
		c.setBase(decode.Seg(s))
	}
	c.findAlignment()
	if c.bounded() {
		c.attend.Store(true) // instructions are executed one at a time
	}
	c.view = &c.tlb[c.user()]
	c.setKey()
}

func hlt(c *CPU, _ *uop) status {
	if c.cpl != 0 {
		return c.raise(vectorGP)
	}
	c.halted = true
	c.attend.Store(true)
	return next
}

func clts(c *CPU, _ *uop) status {
	if c.cpl != 0 {
		return c.raise(vectorGP)
	}
	c.cr0 &^= cr0TS
	return next
}

// invalidate is INVD and WBINVD: there are no caches.
func invalidate(c *CPU, _ *uop) status {
	if c.cpl != 0 {
		return c.raise(vectorGP)
	}
	return next
}

// interruptFlag is CLI and STI. IOPL lets less privileged code do it too.
func interruptFlag(c *CPU, u *uop) status {
	if c.cpl > c.iopl() {
		return c.raise(vectorGP)
	}
	if u.Opcode == 0xFA {
		c.flags.other &^= flagIF
		return next
	}
	if c.flags.other&flagIF == 0 {
		c.flags.other |= flagIF
		c.shadow = true
		c.attend.Store(true)
	}
	return next
}
