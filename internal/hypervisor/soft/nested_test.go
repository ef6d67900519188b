package soft

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// Exceptions within the delivery of another: in turn, as a double fault, or a shutdown (-1).
func TestNestedExceptions(t *testing.T) {
	absent := func(g *tiny, vectors ...int) {
		for _, v := range vectors {
			g.ram[tinyIDT+16*v+5] &^= 0x80
		}
	}
	noStack := func(g *tiny) { g.put64(tinyPT+8*(tinyStack0-8)>>12, 0); g.put64(tinyPT+8*((tinyStack0-8)>>12), 0) }
	for _, c := range []struct {
		name, code string
		vector     int
		err        uint64
		cr2        uint64
		setup      func(g *tiny)
	}{
		{"#NP within #UD", "0f 0b", vectorNP, vectorUD<<3 | 3, 0, func(g *tiny) { absent(g, vectorUD) }},
		{"#NP within #GP", "f4", vectorDF, 0, 0, func(g *tiny) { absent(g, vectorGP) }},
		{"#NP within INT n", "cd 80", vectorNP, 0x80<<3 | 2, 0, func(g *tiny) { absent(g, 0x80) }},
		{"#GP within #DE", "31 c9 f7 f1", vectorDF, 0, 0, func(g *tiny) { g.ram[tinyIDT+16*vectorDE+5] = 0x85 }},
		{"#PF within #DE", "31 c9 f7 f1", vectorPF, faultWrite, tinyStack0 - 8, func(g *tiny) { noStack(g); g.ist(vectorPF) }},
		{"#PF within #PF", "8b 04 25 00 00 30 00", vectorDF, 0, tinyStack0 - 8, func(g *tiny) { noStack(g); g.ist(vectorDF) }},
		{"#PF within #DF", "8b 04 25 00 00 30 00", -1, 0, tinyStack0 - 8, noStack},
		{"#NP within #DF", "f4", -1, 0, 0, func(g *tiny) { absent(g, vectorGP, vectorDF) }},
		{"#TS within #UD", "0f 0b", -1, 0, 0, func(g *tiny) { g.tr.limit = 3 }},
		{"#SS within #UD", "0f 0b", vectorSS, 1, 0, func(g *tiny) { g.put64(tinyTSS+4, 1<<63); g.ist(vectorSS) }},
		{"a null code segment", "0f 0b", vectorGP, 1, 0, func(g *tiny) { g.ram[tinyIDT+16*vectorUD+2] = 0 }},
		{"a code segment of less privilege", "0f 0b", vectorGP, selData | 1, 0, func(g *tiny) { g.ram[tinyIDT+16*vectorUD+2] = selData }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newTiny(t, long3, c.code)
			c.setup(g)
			g.run()
			if c.vector < 0 {
				if g.exit.Kind != hypervisor.ExitShutdown {
					t.Errorf("%v, vector %d", g.exit.Kind, g.vector())
				}
			} else if g.exit.Kind != hypervisor.ExitHalt || g.vector() != c.vector || g.frame(0) != c.err {
				t.Errorf("%v, vector %d, error code %#x; want %d, %#x", g.exit.Kind, g.vector(), g.frame(0), c.vector, c.err)
			}
			if c.cr2 != 0 && g.cr2 != c.cr2 {
				t.Errorf("CR2 %#x", g.cr2)
			}
		})
	}
}

// A fault leaves all as it was: registers, and bits of page tables.
func TestFaultsLeaveAll(t *testing.T) {
	const readOnly = tinyData | pagePresent | pageUser
	for _, c := range []struct {
		name, code string
		ring       ring
	}{
		{"POP", "8f 03", long3}, {"XADD", "0f c1 03", long3}, {"CMPXCHG", "0f b1 03", long3}, {"LOCK CMPXCHG", "f0 0f b1 03", long3}, {"XCHG", "87 03", long3},
		{"ADC", "11 03", long3}, {"SHL", "d1 23", long3}, {"INC", "ff 03", long3}, {"CALL", "ff 13", long3}, {"PUSH", "ff 33", long3}, {"MOVS", "a5", long3}, {"ENTER", "c8 10 00 00", long3},
		{"SETC", "0f 92 03", long3}, {"BTS", "0f ab 03", long3}, {"PUSHA", "60", compat3}, {"ENTER with frames", "c8 10 00 03", compat3}, {"far CALL", "9a 00 00 00 00 33 00", compat3},
		{"CMPXCHG8B", "0f c7 0b", compat3}, {"POPF", "9d", long3}, {"IRET", "48 cf", long3}, {"RETF", "48 cb", long3}, {"LEAVE", "c9", long3}, {"LSS", "0f b2 03", long3}, {"POP FS", "0f a1", long3},
		{"FXSAVE", "0f ae 03", long3}, {"FST", "d9 13", long3}, {"MOVUPS", "0f 11 03", long3},
	} {
		g := newTiny(t, c.ring, c.code)
		g.units()
		g.put64(tinyPT+8*(tinyData>>12), readOnly)
		g.put64(tinyPT+8*(tinyData>>12)-8, 0)
		g.R[rsp], g.R[rbp], g.R[rdi], g.R[rsi], g.R[rax], g.R[rcx] = tinyData+16, tinyData+64, tinyData, tinyCode, 5, 7
		if c.code[0] == '9' && c.ring == long3 || c.name == "IRET" || c.name == "RETF" || c.name == "LEAVE" || c.name == "LSS" || c.name == "POP FS" {
			g.put64(tinyPT+8*(tinyData>>12), 0)
		}
		g.SetFlags(flagCF | flagOF)
		registers, rflags, entry := g.R, g.Flags(), g.get64(tinyPT+8*(tinyData>>12))
		if g.run(); g.vector() != vectorPF {
			t.Errorf("%s: vector %d", c.name, g.vector())
			continue
		}
		at, pushed := g.frame(1), g.frame(3)&^flagRF
		g.R[rsp] = g.frame(4)
		if g.R != registers || pushed != rflags || at != tinyCode || g.get64(tinyPT+8*(tinyData>>12))&^pageAccessed != entry {
			t.Errorf("%s: %x, was %x; RFLAGS %#x, was %#x; entry %#x", c.name, g.R, registers, pushed, rflags, g.get64(tinyPT+8*(tinyData>>12)))
		}
	}
}

// POPF and IRET change what the privilege allows.
func TestFlagsByPrivilege(t *testing.T) {
	const all = flagIF | flagIOPL | flagAC | flagID | flagDF | flagNT
	for _, c := range []struct {
		name, code string
		ring       ring
		iopl       uint64
		want       uint64
	}{
		{"POPF", "9d cc", long3, 0, flagAC | flagID | flagDF | flagNT}, {"POPF with IOPL", "9d cc", long3, 3, all}, {"POPF at ring 0", "9d cc", long0, 0, all},
		{"POPF of 16 bits", "66 9d cc", long0, 0, flagIF | flagIOPL | flagDF | flagNT},
	} {
		g := newTiny(t, c.ring, c.code)
		g.R[rsp] -= 8
		g.put64(int(g.R[rsp]), all|2)
		g.flags.other |= c.iopl << 12
		if g.run(); g.vector() != vectorBP || g.frame(2)&all != c.want {
			t.Errorf("%s: vector %d, RFLAGS %#x", c.name, g.vector(), g.frame(2))
		}
	}
}

// Segments of an LDT, which LLDT loads.
func TestLDT(t *testing.T) {
	g := newTiny(t, flat0, "b8 a8 00 00 00 0f 00 d0 0f 00 c3 b8 0c 00 00 00 8e e0 64 a1 04 00 00 00 f4")
	g.put64(tinyGDT+0xA8, tinyDescriptor(0x40000, 0xF, segmentPresent|typeLDT))
	g.put64(0x40008, tinyDescriptor(0x40000, 0xFF, segmentPresent|segmentS|segmentWrite|segmentBig))
	g.put64(0x40000, 0x1234<<32)
	if g.halts(); g.R[rax] != 0x1234 || g.R[rbx] != 0xA8 || g.ram[0x4000D]&segmentAccessed == 0 {
		t.Errorf("EAX %#x, EBX %#x", g.R[rax], g.R[rbx])
	}
}
