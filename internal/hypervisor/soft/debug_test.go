package soft

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// debugging has the handler of #DB count, keep RIP and DR6, clear DR6 and return with RF; counted says what it had.
func (g *tiny) debugging() {
	// push rax; push rcx; or dword [rsp+32], RF; mov rax, [rsp+16]; mov ecx, [0x21000]; mov [rcx*8+0x21010], rax; mov rax, dr6; mov [rcx*8+0x21410], rax;
	// inc dword [0x21000]; mov eax, 0xffff0ff0; mov dr6, rax; pop rcx; pop rax; iretq
	copy(g.ram[tinyHandlers+16*0x100:], g.bytes("50 51 81 4c 24 20 00 00 01 00 48 8b 44 24 10 8b 0c 25 00 10 02 00 48 89 04 cd 10 10 02 00 0f 21 f0 48 89 04 cd 10 14 02 00"+
		"ff 04 25 00 10 02 00 b8 f0 0f ff ff 0f 23 f0 59 58 48 cf"))
	at := uint64(tinyHandlers + 16*0x100)
	g.put64(tinyIDT+16*vectorDB, at&0xFFFF|selCode64<<16|0xEE<<40|at>>16<<48)
}

type stop struct{ rip, dr6 uint64 }

func (g *tiny) stops() (all []stop) {
	for i := range g.get32(0x21000) {
		all = append(all, stop{g.get64(0x21010+8*i) - tinyCode, g.get64(0x21410+8*i) & (dr6Known)})
	}
	return all
}

// setDR sets a debug register by the guest's own instruction; dr 7 last.
func TestDebugExceptions(t *testing.T) {
	const bs, bd = dr6BS, dr6BD
	trace := func(g *tiny) { g.flags.other |= flagTF; g.attend.Store(true) }
	watch := func(dr7 uint64, addr ...uint64) func(g *tiny) {
		return func(g *tiny) {
			copy(g.dr[:], addr)
			g.dr[7] = dr7
			g.armBreakpoints()
		}
	}
	for _, c := range []struct {
		name, code string
		ring       ring
		setup      func(g *tiny)
		want       []stop
	}{
		{"single steps", "90 40 0f a2 90 eb 00 cc", long0, trace, []stop{{1, bs}, {4, bs}, {5, bs}, {7, bs}}},
		{"after POPF from the next one on", "68 02 01 00 00 9d 90 90 cc", long0, nil, []stop{{7, bs}, {8, bs}}},
		{"POPF that ends it", "6a 02 9d 90 cc", long0, trace, []stop{{2, bs}, {3, bs}}},
		{"not after MOV SS", "8c d0 8e d0 90 cc", long0, trace, []stop{{2, bs}, {5, bs}}},
		{"each iteration", "b9 03 00 00 00 89 df f3 aa cc", long0, func(g *tiny) { g.R[rbx] = tinyData + 0x800; trace(g) }, []stop{{5, bs}, {7, bs}, {7, bs}, {7, bs}, {9, bs}}},
		{"code", "90 90 90 90 cc", long0, watch(1|1<<2, tinyCode+1, tinyCode+3), []stop{{1, 1}, {3, 2}}},
		{"code after MOV SS", "8c d0 8e d0 90 90 cc", long0, watch(1|1<<2, tinyCode+4, tinyCode+5), []stop{{5, 2}}},
		{"a write", "89 03 8b 03 89 43 04 88 43 01 cc", long0, watch(1|breakWrite<<16|1<<18, tinyData), []stop{{2, 1}, {10, 1}}},
		{"an access", "89 03 8b 03 89 43 04 88 43 03 cc", long0, watch(2<<2|breakAccess<<20|3<<22, 0, tinyData), []stop{{2, 2}, {4, 2}, {10, 2}}},
		{"a comparison before its branch", "39 03 75 00 3b 03 74 00 cc", long0, watch(1|breakAccess<<16, tinyData), []stop{{2, 1}, {6, 1}}},
		{"a string's write", "b9 04 00 00 00 89 df f3 aa cc", long0, watch(1|breakWrite<<16, tinyData+1), []stop{{7, 1}}},
		{"an access across pages", "48 89 83 fc ff ff ff cc", long0, watch(1|breakWrite<<16, tinyData), []stop{{7, 1}}},
		{"of less privilege", "89 03 cc", long3, watch(1|breakWrite<<16|3<<18, tinyData), []stop{{2, 1}}},
		{"general detect", "0f 23 c0 0f 21 c1 cc", long0, func(g *tiny) { g.dr[7] = dr7GD }, []stop{{0, bd}}},
		{"INT1", "f1 90 cc", long0, nil, []stop{{1, 0}}},
		{"INT1 after an access of MOV SS", "8e 13 f1 90 cc", long0, watch(1|breakAccess<<16|1<<18, tinyData), []stop{{3, 1}}},
		{"a step and a write", "89 03 cc", long0, func(g *tiny) { watch(1|breakWrite<<16, tinyData)(g); trace(g) }, []stop{{2, bs | 1}}},
		{"INT n steps over its handler", "cd 80 90 cc", long0, func(g *tiny) { copy(g.ram[tinyHandlers+16*0x80:], "\x90\x48\xCF"); trace(g) }, []stop{{3, bs}}},
		{"a fault has none", "0f 0b 90 cc", long0, func(g *tiny) { copy(g.ram[tinyHandlers+16*vectorUD:], "\x48\x83\x04\x24\x02\x48\xCF"); trace(g) }, []stop{{3, bs}}},
		{"HLT", "f4 cc", long0, trace, []stop{{1, bs}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newTiny(t, c.ring, c.code)
			g.debugging()
			if c.setup != nil {
				c.setup(g)
			}
			if g.run(); g.vector() != vectorBP {
				t.Fatalf("vector %d at %#x", g.vector(), g.RIP)
			}
			got := g.stops()
			if len(got) != len(c.want) {
				t.Fatalf("%x, want %x", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("%x, want %x", got, c.want)
				}
			}
		})
	}
}

// A breakpoint on ports needs CR4.DE, and then DR4 is undefined.
func TestPortBreakpoint(t *testing.T) {
	for _, de := range []bool{false, true} {
		g := newTiny(t, long0, "e6 80 90 f4")
		g.debugging()
		if g.dr[0], g.dr[7] = 0x80, 1|breakIO<<16; de {
			g.cr4 |= cr4DE
		}
		g.armBreakpoints()
		if g.run(); g.exit.Kind != hypervisor.ExitPortOut {
			t.Fatal(g.exit)
		}
		g.bus.answered()
		if g.run(); len(g.stops()) != 0 != de {
			t.Errorf("CR4.DE %v: %x", de, g.stops())
		}
		g = newTiny(t, long0, "0f 21 e0 f4")
		if de {
			g.cr4 |= cr4DE
			g.raises(vectorUD, 0, 0)
		} else {
			g.halts()
		}
	}
}

// RF in the flags that are pushed: set by faults, not by breakpoints and traps.
func TestResumeFlag(t *testing.T) {
	for _, c := range []struct {
		name, code string
		at         uint64 // of RFLAGS in the frame
		want       bool
		setup      func(g *tiny)
	}{
		{"a fault", "0f 0b", 2, true, nil},
		{"a page fault", "8b 03", 3, true, func(g *tiny) { g.put64(tinyPT+8*(tinyData>>12), 0) }},
		{"a breakpoint", "90", 2, false, func(g *tiny) { g.dr[0], g.dr[7] = tinyCode, 1; g.armBreakpoints() }},
		{"a step", "90", 2, false, func(g *tiny) { g.flags.other |= flagTF; g.attend.Store(true) }},
		{"a step within a repetition", "f3 aa", 2, true, func(g *tiny) { g.R[rcx], g.R[rdi] = 5, tinyData; g.flags.other |= flagTF; g.attend.Store(true) }},
		{"general detect", "0f 23 c0", 2, true, func(g *tiny) { g.dr[7] = dr7GD }},
		{"INT n", "cd 80", 2, false, nil},
		{"an NMI", "90 90", 2, false, func(g *tiny) { g.nmi.Store(true); g.attend.Store(true) }},
	} {
		g := newTiny(t, long0, c.code)
		if c.setup != nil {
			c.setup(g)
		}
		if g.run(); g.frame(c.at)&flagRF != 0 != c.want {
			t.Errorf("%s: vector %d, RFLAGS %#x", c.name, g.vector(), g.frame(c.at))
		}
	}
	// IRET with RF passes a breakpoint once: the second time the loop comes there it stops.
	g := newTiny(t, long0, "6a 10 54 48 83 04 24 08 68 02 00 01 00 6a 08 68 15 00 01 00 48 cf 90 eb fd")
	g.dr[0], g.dr[7] = tinyCode+0x16, 1
	g.ram[tinyCode+0x10] = 0x16
	g.armBreakpoints()
	g.raises(vectorDB, 0, 0x16)
	if g.retired < 9 {
		t.Errorf("it stopped after %d instructions", g.retired)
	}
}

// After an NMI others wait for IRET; after MOV SS one does, and after STI an interrupt.
func TestHeldBack(t *testing.T) {
	g := newTiny(t, long0, "90 f4")
	g.nmi.Store(true)
	g.attend.Store(true)
	copy(g.ram[tinyHandlers+16*vectorNMI:], g.bytes("90 90 90 ff 04 25 00 00 02 00 48 cf"))
	g.poll(&g.exit)
	g.nmi.Store(true)
	g.attend.Store(true)
	for range 3 {
		g.poll(&g.exit)
		g.single(&g.exit)
	}
	if g.nmiBlocked != true || g.RIP != tinyHandlers+16*vectorNMI+3 {
		t.Errorf("a second NMI was delivered within the first: %#x", g.RIP)
	}
	g.halts()
	if n := g.get32(tinyData); n != 2 {
		t.Errorf("%d NMIs", n)
	}
	g = newTiny(t, long0, "8c d0 8e d0 90 90 f4")
	for range 2 {
		g.single(&g.exit)
	}
	g.nmi.Store(true)
	g.attend.Store(true)
	g.raises(vectorNMI, 0, 5)
}
