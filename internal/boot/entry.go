package boot

import (
	"encoding/binary"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/linuxboot"
	"github.com/mayfly-vm/mayfly/pvh"
)

// entryState is the first vCPU's state by the plan's protocol, and the GDT
// in memory that agrees with its segments.
func entryState(p *layout.Plan) (hypervisor.State, []byte) {
	if p.Protocol == kernel.PVH {
		e := pvh.NewEntryState(p.Entry, layout.StartInfoAddr)
		s := flatState(e.CS, e.Data, e.TR)
		s.RSP = layout.StackTop // beyond the ABI: kernels call before they have a stack of their own
		s.RIP, s.RBX, s.RFLAGS, s.CR0, s.CR4 = e.RIP, e.RBX, e.RFlags, e.CR0, e.CR4
		return withGDT(s, e.GDT[:])
	}
	e := linuxboot.NewEntryState(p.Entry, layout.ZeroPageAddr, layout.PageTablesAddr)
	s := flatState(e.CS, e.Data, e.TR)
	s.RSP = layout.StackTop
	s.RIP, s.RSI, s.RFLAGS = e.RIP, e.RSI, e.RFlags
	s.CR0, s.CR3, s.CR4, s.EFER = e.CR0, e.CR3, e.CR4, e.EFER
	return withGDT(s, e.GDT[:])
}

func flatState(code, data, task pvh.Segment) hypervisor.State {
	return hypervisor.State{CS: code, DS: data, ES: data, FS: data, GS: data, SS: data, TR: task}
}

func withGDT(s hypervisor.State, gdt []uint64) (hypervisor.State, []byte) {
	b := make([]byte, 0, 8*len(gdt))
	for _, d := range gdt {
		b = binary.LittleEndian.AppendUint64(b, d)
	}
	s.GDT = hypervisor.Table{Base: pvh.GDTAddr, Limit: uint16(len(b) - 1)}
	return s, b
}
