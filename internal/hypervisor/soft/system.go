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
		c.stop("32-bit paging, which the software processor does not have")
		return exits
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

func (c *CPU) iopl() uint8 { return uint8(c.flags.other >> 12 & 3) }

// group6 is SLDT, STR, LLDT, LTR, VERR and VERW.
func group6(c *CPU, u *uop) status {
	if c.cr0&cr0PE == 0 {
		return c.raise(vectorUD)
	}
	switch u.Ext() {
	case 0, 1:
		s := &c.ldt
		if u.Ext() == 1 {
			s = &c.tr
		}
		n := u.OperandSize
		if u.Mem {
			n = 2
		}
		if !c.setRM(u, n, uint64(s.selector)) {
			return faulted
		}
		return next
	case 2, 3:
		if c.cpl != 0 {
			return c.raise(vectorGP)
		}
		v, ok := c.rm(u, 2)
		if !ok {
			return faulted
		}
		if u.Ext() == 2 {
			return c.loadLDT(uint16(v))
		}
		return c.loadTR(uint16(v))
	}
	v, ok := c.rm(u, 2)
	if !ok {
		return faulted
	}
	return c.verify(uint16(v), u.Ext() == 5)
}

// group7 is SGDT, SIDT, LGDT, LIDT, SMSW, LMSW, INVLPG, SWAPGS and RDTSCP.
func group7(c *CPU, u *uop) status {
	if !u.Mem {
		return c.group7Register(u)
	}
	switch u.Ext() {
	case 0, 1:
		t := &c.gdt
		if u.Ext() == 1 {
			t = &c.idt
		}
		n := uint8(4)
		if c.mode == decode.Mode64 {
			n = 8
		}
		at := c.address(u)
		if !c.store(at, 2, uint64(t.Limit)) || !c.store(c.wrap(at+2), n, t.Base) {
			return faulted
		}
		return next
	case 2, 3:
		return c.loadTable(u)
	case 4, 6:
		return c.machineStatus(u)
	case 7:
		if c.cpl != 0 {
			return c.raise(vectorGP)
		}
		c.flushPage(c.unmark(c.address(u)))
		return next
	}
	return c.raise(vectorUD)
}

func (c *CPU) group7Register(u *uop) status {
	switch {
	case u.Ext() == 4 || u.Ext() == 6:
		return c.machineStatus(u)
	case u.Ext() == 7 && u.RM&7 == 0 && c.mode == decode.Mode64:
		if c.cpl != 0 {
			return c.raise(vectorGP)
		}
		gs := &c.segments[decode.GS]
		gs.base, c.msr.kernelGS = c.msr.kernelGS, gs.base
		c.bases[decode.GS] = gs.base
		return next
	case u.Ext() == 7 && u.RM&7 == 1:
		s := rdtsc(c, u)
		if s == next {
			c.R[rcx] = c.msr.tscAux
		}
		return s
	}
	return c.raise(vectorUD)
}

// loadTable is LGDT and LIDT.
func (c *CPU) loadTable(u *uop) status {
	if c.cpl != 0 {
		return c.raise(vectorGP)
	}
	n := uint8(4)
	if c.mode == decode.Mode64 {
		n = 8
	}
	at := c.address(u)
	limit, ok := c.load(at, 2)
	if !ok {
		return faulted
	}
	base, ok := c.load(c.wrap(at+2), n)
	if !ok {
		return faulted
	}
	if n == 4 && u.OperandSize == 2 {
		base &= 0xFF_FFFF
	}
	if !isCanonical(base) {
		return c.raise(vectorGP)
	}
	t := hypervisor.Table{Base: base, Limit: uint16(limit)}
	if u.Ext() == 2 {
		c.gdt = t
	} else {
		c.idt = t
	}
	return next
}

// machineStatus is SMSW and LMSW.
func (c *CPU) machineStatus(u *uop) status {
	if u.Ext() == 4 {
		n := u.OperandSize
		if u.Mem {
			n = 2
		}
		if !c.setRM(u, n, c.cr0&mask(n)) {
			return faulted
		}
		return next
	}
	if c.cpl != 0 {
		return c.raise(vectorGP)
	}
	v, ok := c.rm(u, 2)
	if !ok {
		return faulted
	}
	const bits = cr0PE | cr0MP | cr0EM | cr0TS
	return c.setCR0(c.cr0&^(bits&^cr0PE) | v&bits) // PE is set, never cleared
}

// flagsFrom is RFLAGS as POPF and IRET set it from a value of n bytes, at this privilege.
func (c *CPU) flagsFrom(v uint64, n uint8) uint64 {
	keep := uint64(flagVM | flagVIF | flagVIP)
	if c.cpl > 0 {
		keep |= flagIOPL
	}
	if c.cpl > c.iopl() {
		keep |= flagIF
	}
	if n == 2 {
		keep |= ^uint64(0xFFFF)
	}
	return v&^keep | c.Flags()&keep
}

// Flags of system software.
const (
	flagTF   = 1 << 8
	flagIF   = 1 << 9
	flagIOPL = 3 << 12
	flagNT   = 1 << 14
	flagRF   = 1 << 16
	flagVM   = 1 << 17
	flagAC   = 1 << 18
	flagVIF  = 1 << 19
	flagVIP  = 1 << 20
	flagID   = 1 << 21

	flagsKnown = flagsStatus | flagTF | flagIF | flagDF | flagIOPL | flagNT | flagRF | flagAC | flagID
)

// setFlags sets RFLAGS as the guest does, and has interrupts looked for.
func (c *CPU) setFlags(v uint64) {
	c.SetFlags(v & flagsKnown)
	c.findAlignment()
	c.attend.Store(true)
}
