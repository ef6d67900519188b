package soft_test

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/guest/privileged"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft"
)

// oneIn is how many cases there are for each that is executed in lockstep.
const oneIn = 11

// asynchronous are cases that have more to them than one instruction after another: interrupts, single steps, devices,
// PAUSE, which ends nothing on QEMU; those on IST stacks, where it has another SS; and 16-bit code above 64 KiB, where it cuts EIP after a step.
var asynchronous = regexp.MustCompile(`^(interrupt|single step|breakpoint|port|nested|legacy (jmp far|iretd) .* L?CO)|IST|pause|cpuid|\b(in|insb|outsb|out) `)

// inLockstep reports whether a case is executed so: one on which QEMU is not known to differ, and that does not end in
// a shutdown.
func inLockstep(c *privileged.Case, result *privileged.Result) bool {
	if c.Want != "" || result.Shutdown || asynchronous.MatchString(c.Name) {
		return false
	}
	for _, k := range deviations {
		if k.cases.MatchString(c.Name) {
			return false
		}
	}
	return true
}

// selected are the cases that are executed in lockstep.
func selected(t *testing.T) *privileged.Guest {
	t.Helper()
	var some []privileged.Case
	for i, c := range privileged.Corpus() {
		if i%oneIn == 0 {
			some = append(some, c)
		}
	}
	all := build(t, some)
	b := newBench(t, all)
	some = nil
	for i := range all.Cases {
		if result := b.run(i); inLockstep(&all.Cases[i], &result) {
			some = append(some, all.Cases[i])
		}
	}
	return build(t, some)
}

// After each instruction of some cases registers are what they are on QEMU.
func TestPrivilegedInLockstep(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts QEMU")
	}
	g := selected(t)
	b, q := newBench(t, g), startStopped(t, g)
	l := lockstep{bench: b, qemu: q}
	for _, name := range []string{"enter_case", "enter_case32", "resume_case", "resume_case32", "finish"} {
		addr := g.Address(name)
		l.stops = append(l.stops, addr)
		q.must(fmt.Sprintf("Z0,%x,1", addr))
	}
	instructions := 0
	for i := range g.Cases {
		n, err := l.run(i)
		if err != nil {
			t.Fatalf("%s: %v", g.Cases[i].Name, err) // QEMU stands somewhere
		}
		instructions += n
	}
	if len(g.Cases) < 100 {
		t.Errorf("only %d cases were compared", len(g.Cases))
	}
	t.Logf("%d cases with %d instructions", len(g.Cases), instructions)
}

// lockstep is both processors. QEMU stops at each of the addresses.
type lockstep struct {
	*bench
	qemu  *gdbstub
	stops []uint64 // where cases are entered, go on, and end
}

// proceed lets QEMU run to one of the addresses.
func (l *lockstep) proceed() registers {
	l.t.Helper()
	l.qemu.ask("vCont;s") // it would stop at once where it stands
	l.qemu.ask("vCont;c")
	return l.qemu.registers()
}

// run executes a case on both, one instruction after the other but for those of the harness, which has values in
// registers that the processors are known to differ in.
func (l *lockstep) run(index int) (n int, err error) {
	enter, last := l.stops[:2], l.stops[4]
	record, record32 := l.guest.Address("common64"), l.guest.Address("common32")
	theirs := l.proceed()
	l.prepare(index)
	machine, p := l.boot()
	defer machine.Close()
	defer p.Close()
	var e hypervisor.Exit
	if !soft.StepTo(p, &e, enter...) {
		return 0, fmt.Errorf("the case is not entered: %v", e.Kind)
	}
	if _, err := l.memory.WriteAt(binary.LittleEndian.AppendUint64(nil, l.qemu.number(privileged.Next)), privileged.Next); err != nil { // its address is in registers
		return 0, err
	}
	for at := l.registers(p); ; n++ {
		if d := theirs.differs(&at); d != "" {
			return n, fmt.Errorf("after %d instructions, QEMU | soft:%s", n, d)
		}
		switch from := at.rip; {
		case from == last:
			return n, nil
		case from == record, from == record32:
			if !soft.StepTo(p, &e, l.stops...) {
				return n, fmt.Errorf("the harness stopped: %v", e.Kind)
			}
			at, theirs = l.registers(p), l.proceed()
			if at.rip == last {
				return n, theirs.sameEnd(&at)
			}
		default:
			for at.rip == from { // a repetition is left by one instruction on both, whatever they call an iteration
				if err := step(p); err != nil {
					return n, fmt.Errorf("at %#x: %w", from, err)
				}
				at = l.registers(p)
			}
			for theirs.rip == from {
				l.qemu.ask("vCont;s")
				theirs = l.qemu.registers()
			}
		}
	}
}

// sameEnd is nil where both processors are at the end of a case. What the harness has in registers is its own.
func (r *registers) sameEnd(own *registers) error {
	if r.rip != own.rip {
		return fmt.Errorf("QEMU is at %#x at the end", r.rip)
	}
	return nil
}

// step executes an instruction.
func step(p hypervisor.Processor) error {
	var e hypervisor.Exit
	if !soft.StepOnce(p, &e) {
		return fmt.Errorf("%v at %#x: %s", e.Kind, e.Addr, e.Detail)
	}
	return nil
}

// registers reads a software processor's.
func (b *bench) registers(p hypervisor.Processor) registers {
	b.t.Helper()
	s, err := p.State()
	if err != nil {
		b.t.Fatal(err)
	}
	return registers{
		general: [16]uint64{s.RAX, s.RCX, s.RDX, s.RBX, s.RSP, s.RBP, s.RSI, s.RDI, s.R8, s.R9, s.R10, s.R11, s.R12, s.R13, s.R14, s.R15},
		rip:     s.RIP, rflags: s.RFLAGS,
		selectors: [6]uint32{uint32(s.CS.Selector), uint32(s.SS.Selector), uint32(s.DS.Selector), uint32(s.ES.Selector), uint32(s.FS.Selector), uint32(s.GS.Selector)},
		system:    [6]uint64{s.FS.Base, s.GS.Base, s.CR0, s.CR2, s.CR3, s.CR4},
		long:      s.CS.L && s.EFER&(1<<10) != 0,
	}
}

// differs names the registers that are others. RF is left out; outside of 64-bit code QEMU has halves of registers only.
func (r *registers) differs(own *registers) string {
	var b strings.Builder
	long := own.long
	compare := func(name string, theirs, ours uint64) {
		if !long {
			theirs, ours = theirs&0xFFFF_FFFF, ours&0xFFFF_FFFF
		}
		if theirs != ours {
			fmt.Fprintf(&b, " %s %#x | %#x;", name, theirs, ours)
		}
	}
	for i := range r.general {
		if i < 8 || long {
			compare(fmt.Sprintf("r%d", i), r.general[i], own.general[i])
		}
	}
	compare("rip", r.rip, own.rip)
	compare("rflags", r.rflags&^flagRF, own.rflags&^flagRF)
	for i := range r.selectors {
		compare([]string{"cs", "ss", "ds", "es", "fs", "gs"}[i], uint64(r.selectors[i]), uint64(own.selectors[i]))
	}
	if long {
		for i := range r.system {
			compare([]string{"fs.base", "gs.base", "cr0", "cr2", "cr3", "cr4"}[i], r.system[i], own.system[i])
		}
	}
	return b.String()
}
