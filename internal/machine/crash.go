package machine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// crashed is the outcome of a shutdown, the end of a triple fault. A Linux that
// restarts by one (reboot=triple) has said so on its console just before.
func (c *vcpu) crashed() Outcome {
	if c.signs.explainsReset() {
		return Outcome{Reason: Rebooted, Detail: "by a triple fault"}
	}
	if s, err := c.proc.State(); err == nil && s.RIP == 0xFFF0 && s.CS.Base == 0xFFFF0000 {
		return Outcome{Reason: TripleFault, Detail: fmt.Sprintf("vCPU %d shut down; its registers are lost, since KVM resets a vCPU on AMD then", c.id)}
	}
	return Outcome{Reason: TripleFault, Detail: c.report()}
}

// report shows a vCPU's state as kernels do.
func (c *vcpu) report() string {
	s, err := c.proc.State()
	if err != nil {
		return "registers unknown: " + err.Error()
	}
	var w strings.Builder
	fmt.Fprintf(&w, "vCPU %d at rip %#x (%s mode), instruction bytes %s\n", c.id, s.RIP, mode(&s), c.code(&s))
	fmt.Fprintf(&w, "  rax %016x rbx %016x rcx %016x rdx %016x\n", s.RAX, s.RBX, s.RCX, s.RDX)
	fmt.Fprintf(&w, "  rsi %016x rdi %016x rsp %016x rbp %016x\n", s.RSI, s.RDI, s.RSP, s.RBP)
	fmt.Fprintf(&w, "  r8  %016x r9  %016x r10 %016x r11 %016x\n", s.R8, s.R9, s.R10, s.R11)
	fmt.Fprintf(&w, "  r12 %016x r13 %016x r14 %016x r15 %016x\n", s.R12, s.R13, s.R14, s.R15)
	fmt.Fprintf(&w, "  rflags %08x cr0 %08x cr2 %016x cr3 %016x cr4 %08x efer %04x\n", s.RFLAGS, s.CR0, s.CR2, s.CR3, s.CR4, s.EFER)
	fmt.Fprintf(&w, "  cs %04x base %x ds %04x ss %04x tr %04x gdt %x+%x idt %x+%x", s.CS.Selector, s.CS.Base, s.DS.Selector, s.SS.Selector,
		s.TR.Selector, s.GDT.Base, s.GDT.Limit, s.IDT.Base, s.IDT.Limit)
	if p, ok := c.proc.(hypervisor.Software); ok {
		if names := slices.Sorted(maps.Keys(p.Unimplemented())); len(names) > 0 {
			fmt.Fprintf(&w, "\n  instructions that the software processor does not have, each an invalid-opcode exception: %s", strings.Join(names, ", "))
		}
	}
	return w.String()
}

func mode(s *hypervisor.State) string {
	const protection, longActive = 1, 1 << 10
	switch {
	case s.CR0&protection == 0:
		return "real"
	case s.EFER&longActive != 0 && s.CS.L:
		return "64-bit"
	case s.CS.DB:
		return "32-bit"
	}
	return "16-bit"
}

// code is the bytes at the instruction pointer, as far as they can be read.
func (c *vcpu) code(s *hypervisor.State) string {
	b := c.fetch(linearRIP(s), 16)
	if b == nil {
		return "(not mapped, or no RAM)"
	}
	return fmt.Sprintf("% x", b)
}
