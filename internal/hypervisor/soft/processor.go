package soft

import (
	"errors"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/pvh"
)

// Kick implements hypervisor.Processor.
func (c *CPU) Kick() {
	c.kicked.Store(true)
	c.wake()
}

// Instructions implements hypervisor.Software.
func (c *CPU) Instructions() uint64 { return c.published.Load() }

// State implements hypervisor.Processor.
func (c *CPU) State() (hypervisor.State, error) {
	s := hypervisor.State{
		RAX: c.R[rax], RBX: c.R[rbx], RCX: c.R[rcx], RDX: c.R[rdx], RSI: c.R[rsi], RDI: c.R[rdi], RSP: c.R[rsp], RBP: c.R[rbp],
		R8: c.R[8], R9: c.R[9], R10: c.R[10], R11: c.R[11], R12: c.R[12], R13: c.R[13], R14: c.R[14], R15: c.R[15],
		RIP: c.RIP, RFLAGS: c.Flags(), CR0: c.cr0, CR2: c.cr2, CR3: c.cr3, CR4: c.cr4, EFER: c.efer, GDT: c.gdt, IDT: c.idt,
	}
	for i, to := range s.Segments() {
		*to = shown(c.segmentAt(i))
	}
	return s, nil
}

// segmentAt is that of a hypervisor.State's order.
func (c *CPU) segmentAt(i int) *segment {
	switch i {
	case 6:
		return &c.tr
	case 7:
		return &c.ldt
	}
	return &c.segments[i]
}

func shown(s *segment) pvh.Segment {
	return pvh.Segment{
		Selector: s.selector, Base: s.base, Limit: s.limit, Type: uint8(s.attr & 15), S: s.attr>>4&1 != 0, DPL: s.dpl(), Present: s.is(segmentPresent),
		AVL: s.attr>>12&1 != 0, L: s.is(segmentLong), DB: s.is(segmentBig), G: s.is(segmentGranular),
	}
}

// SetState implements hypervisor.Processor.
func (c *CPU) SetState(s *hypervisor.State) error {
	c.R = [16]uint64{s.RAX, s.RCX, s.RDX, s.RBX, s.RSP, s.RBP, s.RSI, s.RDI, s.R8, s.R9, s.R10, s.R11, s.R12, s.R13, s.R14, s.R15}
	c.RIP, c.cr0, c.cr2, c.cr3, c.cr4, c.efer, c.gdt, c.idt = s.RIP, s.CR0, s.CR2, s.CR3, s.CR4, s.EFER, s.GDT, s.IDT
	for i, from := range s.Segments() {
		*c.segmentAt(i) = taken(from)
	}
	c.cpl = c.segments[decode.CS].dpl()
	c.SetFlags(s.RFLAGS & flagsKnown)
	c.waits = false
	c.flushTLB(true)
	c.setMode()
	return nil
}

func taken(s *pvh.Segment) segment {
	bit := func(on bool, bits uint16) uint16 {
		if on {
			return bits
		}
		return 0
	}
	return segment{
		selector: s.Selector, base: s.Base, limit: s.Limit,
		attr: uint16(s.Type)&15 | bit(s.S, segmentS) | uint16(s.DPL&3)<<5 | bit(s.Present, segmentPresent) | bit(s.AVL, 1<<12) |
			bit(s.L, segmentLong) | bit(s.DB, segmentBig) | bit(s.G, segmentGranular),
	}
}

// SetMSRs implements hypervisor.Processor.
func (c *CPU) SetMSRs(list []hypervisor.MSR) error {
	for _, m := range list {
		if !c.writeMSR(m.Index, m.Value) {
			return errors.New("the software processor has no such model-specific register")
		}
	}
	return nil
}

// TSCKHz implements hypervisor.Processor.
func (c *CPU) TSCKHz() (int, error) { return tscKHz, nil }

// Activity implements hypervisor.Processor.
func (c *CPU) Activity() (hypervisor.Activity, error) {
	switch {
	case c.waits, c.halted && c.flags.other&flagIF == 0:
		return hypervisor.Stalled, nil
	case c.halted:
		return hypervisor.Idle, nil
	}
	return hypervisor.Running, nil
}

// WasPaused implements hypervisor.Processor.
func (c *CPU) WasPaused() {}

// Translate implements hypervisor.Processor.
func (c *CPU) Translate(virtual uint64) (memory.Addr, bool) {
	before := c.fault
	c.implicit = true
	defer func() { c.fault, c.implicit = before, false }()
	phys, ok := c.translate(virtual, accessRead)
	return memory.Addr(phys), ok
}

// Prefault implements hypervisor.Processor: there is nothing to fill.
func (c *CPU) Prefault(memory.Addr, uint64) bool { return false }

// Close implements hypervisor.Processor.
func (c *CPU) Close() error {
	if c.apic != nil {
		c.apic.stop()
	}
	return c.code.close()
}
