package kvm

import (
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/kvm"
	"github.com/mayfly-vm/mayfly/pvh"
)

func (p *processor) State() (s hypervisor.State, err error) {
	r, err := p.vcpu.Regs()
	if err != nil {
		return s, err
	}
	q, err := p.vcpu.Sregs()
	if err != nil {
		return s, err
	}
	return hypervisor.State{
		RAX: r.RAX, RBX: r.RBX, RCX: r.RCX, RDX: r.RDX, RSI: r.RSI, RDI: r.RDI, RSP: r.RSP, RBP: r.RBP,
		R8: r.R8, R9: r.R9, R10: r.R10, R11: r.R11, R12: r.R12, R13: r.R13, R14: r.R14, R15: r.R15,
		RIP: r.RIP, RFLAGS: r.RFLAGS,
		CR0: q.CR0, CR2: q.CR2, CR3: q.CR3, CR4: q.CR4, EFER: q.EFER,
		CS: fromKVM(q.CS), DS: fromKVM(q.DS), ES: fromKVM(q.ES), FS: fromKVM(q.FS), GS: fromKVM(q.GS),
		SS: fromKVM(q.SS), TR: fromKVM(q.TR), LDT: fromKVM(q.LDT),
		GDT: hypervisor.Table{Base: q.GDT.Base, Limit: q.GDT.Limit}, IDT: hypervisor.Table{Base: q.IDT.Base, Limit: q.IDT.Limit},
	}, nil
}

func (p *processor) SetState(s *hypervisor.State) error {
	q, err := p.vcpu.Sregs() // for the APIC base and pending interrupts, which stay
	if err != nil {
		return err
	}
	q.CR0, q.CR2, q.CR3, q.CR4, q.EFER = s.CR0, s.CR2, s.CR3, s.CR4, s.EFER
	q.CS, q.DS, q.ES, q.FS, q.GS = toKVM(s.CS), toKVM(s.DS), toKVM(s.ES), toKVM(s.FS), toKVM(s.GS)
	q.SS, q.TR, q.LDT = toKVM(s.SS), toKVM(s.TR), toKVM(s.LDT)
	q.GDT = kvm.DTable{Base: s.GDT.Base, Limit: s.GDT.Limit}
	q.IDT = kvm.DTable{Base: s.IDT.Base, Limit: s.IDT.Limit}
	if err := p.vcpu.SetSregs(&q); err != nil {
		return err
	}
	return p.vcpu.SetRegs(&kvm.Regs{
		RAX: s.RAX, RBX: s.RBX, RCX: s.RCX, RDX: s.RDX, RSI: s.RSI, RDI: s.RDI, RSP: s.RSP, RBP: s.RBP,
		R8: s.R8, R9: s.R9, R10: s.R10, R11: s.R11, R12: s.R12, R13: s.R13, R14: s.R14, R15: s.R15,
		RIP: s.RIP, RFLAGS: s.RFLAGS | 2, // bit 1 is always set
	})
}

func fromKVM(k kvm.Segment) pvh.Segment {
	return pvh.Segment{Selector: k.Selector, Base: k.Base, Limit: k.Limit, Type: k.Type, DPL: k.DPL,
		Present: k.Present != 0, S: k.S != 0, DB: k.DB != 0, L: k.L != 0, G: k.G != 0, AVL: k.AVL != 0}
}

func toKVM(s pvh.Segment) kvm.Segment {
	return kvm.Segment{Selector: s.Selector, Base: s.Base, Limit: s.Limit, Type: s.Type, DPL: s.DPL,
		Present: bit(s.Present), S: bit(s.S), DB: bit(s.DB), L: bit(s.L), G: bit(s.G), AVL: bit(s.AVL), Unusable: bit(!s.Present)}
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
