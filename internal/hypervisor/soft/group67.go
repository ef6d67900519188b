package soft

import (
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// Opcode groups 6 and 7. Source: Intel SDM volume 2, table A-6.

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
