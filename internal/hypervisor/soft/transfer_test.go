package soft

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/native"
)

// Instructions that go to other segments and privileges leave these registers: at a handler, or at the code's HLT (-1).
func TestTransfers(t *testing.T) {
	type values map[string]uint64
	for _, c := range []struct {
		name, code string
		ring       ring
		setup      func(g *tiny)
		vector     int
		want       values
	}{
		{"CALL by a gate from 64-bit code", "48 83 ec 10 c7 44 24 08 6b 00 00 00 ff 5c 24 04", long3, nil, 0x90,
			values{"cpl": 0, "0": tinyCode + 16, "1": selUser64, "2": tinyStack - 16, "3": selUserData, "rsp": tinyStack0 - 32, "ss": 0}},
		{"from compatibility mode", "9a 00 00 00 00 6b 00", compat3, nil, 0x90, values{"cpl": 0, "0": tinyCode + 7, "1": selUser32, "2": tinyStack, "3": selUserData}},
		{"from 32-bit mode, with parameters", "6a 05 6a 06 9a 00 00 00 00 6b 00", flat3, func(g *tiny) { g.ram[tinyGDT+selGate&^7+4] = 2 }, 0x90,
			values{"cpl": 0, "0": tinyCode + 11, "1": selUser32, "2": 6, "3": 5, "4": tinyStack - 8, "5": selUserData, "rsp": tinyStack0 - 24}},
		{"a far CALL and RET", "9a 0c 00 01 00 18 00 f4 90 90 90 90 40 cb", flat0, nil, -1, values{"rsp": tinyStack, "rax": 1}},
		{"RETF to compatibility mode", "6a 2b 68 00 b0 00 00 6a 33 68 10 00 01 00 48 cb 48 cd 80", long0, nil, 0x80, values{"0": tinyCode + 19, "1": selUser32, "4": selUserData, "rax": 0xFFFF_FFFF}},
		{"IRET to a 16-bit stack", "68 8b 00 00 00 68 04 00 55 00 6a 02 6a 33 68 17 00 01 00 48 cf 90 90 50 50 cd 80", long0, func(g *tiny) { g.R[rsp] = 0x6A000 }, 0x80,
			values{"1": selUser32, "3": 0x6FFFC, "4": selStack16}},
		{"SYSENTER", "0f 34", long3, sysenters, 0x91, values{"cpl": 0, "cs": 8, "ss": 16, "rsp": tinyStack0}},
		{"SYSENTER from compatibility mode", "0f 34", compat3, sysenters, 0x91, values{"cpl": 0, "cs": 8, "rsp": tinyStack0}},
		{"SYSENTER in 32-bit mode", "0f 34", flat3, sysenters, 0x91, values{"cpl": 0, "cs": 8, "rsp": tinyStack0}},
		{"SYSEXIT", "48 0f 35 cd 80", long0, sysexits, 0x80, values{"0": tinyCode + 5, "1": 0x2B, "3": 0x1234, "4": 0x33}},
		{"SYSEXIT to compatibility mode", "0f 35 90 cd 80", long0, sysexits, 0x80, values{"0": tinyCode + 5, "1": 0x1B, "3": 0x1234, "4": 0x23}},
		{"to 16-bit code", "ea 07 00 00 00 58 00 b8 34 12 50 f4", flat0, nil, -1, values{"rax": 0x1234, "mode": uint64(decode.Mode16), "rsp": tinyStack - 2}},
		{"INT and IRET in real mode", "cd 80 40 f4", real16, func(g *tiny) { g.ram[tinyHandlers+16*0x80] = 0xCF }, -1, values{"rax": 1, "rsp": tinyStack}},
		{"16-bit gates", "cd 80", flat0, func(g *tiny) {
			g.put64(tinyGDT+selCode64, tinyDescriptor(0x30000, 0xFFFF, segmentPresent|segmentS|segmentCode|segmentWrite))
			g.put64(tinyIDT+8*0x80, 0x0800|8<<16|0x86<<40)
		}, 0x80, values{"rsp": tinyStack - 6, "mode": uint64(decode.Mode16)}},
		{"CALL with 16 bits", "66 e8 05 00", real16, func(g *tiny) { g.ram[tinyCode+0xB] = 0xF4 }, -1, values{"rsp": tinyStack - 4}},
		{"a stack that wraps", "50 f4", real16, func(g *tiny) { g.R[rsp] = 0x5_0000 }, -1, values{"rsp": 0x5_FFFE}},
		{"JMP of 16 bits", "66 e9 0c 00 90", flat0, func(g *tiny) { g.segments[1].base = tinyCode; g.RIP = 0; g.ram[tinyCode+16] = 0xF4; g.setMode() }, -1, values{"rip": 17}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newTiny(t, c.ring, c.code)
			if c.setup != nil {
				c.setup(g)
			}
			if g.run(); g.vector() != c.vector || g.exit.Kind != hypervisor.ExitHalt {
				t.Fatalf("%+v, vector %d (code %#x) at %#x", g.exit, g.vector(), g.frame(0), g.RIP)
			}
			for name, want := range c.want {
				got := uint64(0)
				switch name {
				case "cpl":
					got = uint64(g.cpl)
				case "cs":
					got = uint64(g.segments[decode.CS].selector)
				case "ss":
					got = uint64(g.segments[decode.SS].selector)
				case "rsp":
					got = g.R[rsp]
				case "rax":
					got = g.R[rax]
				case "rip":
					got = g.RIP
				case "mode":
					got = uint64(g.mode)
				default:
					got = g.frame(uint64(name[0] - '0'))
				}
				if got != want {
					t.Errorf("%s: %#x, want %#x", name, got, want)
				}
			}
		})
	}
}

func sysenters(g *tiny) { g.msr.sysenter = [3]uint64{8, tinyStack0, tinyHandlers + 16*0x91} }

func sysexits(g *tiny) {
	sysenters(g)
	g.R[rdx], g.R[rcx] = tinyCode+3, 0x1234
}

// Instructions of 32-bit code that 64-bit code does not have.
func TestLegacyInstructions(t *testing.T) {
	for _, c := range []struct {
		name, code string
		rax        uint64
		carry      bool
	}{
		{"DAA", "b0 79 04 35 27 f4", 0x14, true}, {"DAS", "b0 35 2c 47 2f f4", 0x88, true}, {"AAA", "b8 0f 00 00 00 37 f4", 0x105, true}, {"AAS", "b8 ff 02 00 00 3f f4", 0x109, true},
		{"AAM", "b0 3f d4 0a f4", 0x603, false}, {"AAD", "b8 03 06 00 00 d5 0a f4", 0x3F, false}, {"SALC", "f9 d6 f4", 0xFF, true}, {"XLAT", "b0 05 d7 f4", 0xF5, false},
		{"LES", "c4 03 f4", 0xF3F2F1F0, false}, {"BOUND", "b8 f0 f1 f2 f3 62 03 f4", 0xF3F2F1F0, false}, {"ADD by opcode 82", "82 c0 7f f4", 0x7F, false},
		{"ENTER and LEAVE", "89 e5 c8 10 00 02 89 e0 c9 f4", tinyStack - 12 - 16, false}, {"PUSHA and POPA", "b8 01 00 00 00 60 31 c0 61 f4", 1, false},
		{"ARPL", "b8 10 00 00 00 b9 03 00 00 00 63 c8 f4", 0x13, false}, {"LAR", "b9 10 00 00 00 0f 02 c1 f4", 0xC09300, false}, {"LSL", "b9 4b 00 00 00 0f 03 c1 f4", 0xFFF, false},
		{"CMPXCHG8B", "0f c7 0b f4", 0xF3F2F1F0, false}, {"INTO without overflow", "ce f4", 0, false}, {"LOOP with 16 bits", "b9 02 00 01 00 40 67 e2 fc f4", 2, false},
	} {
		g := newTiny(t, flat0, c.code)
		g.put64(tinyData, 0xF7F60010F3F2F1F0)
		g.ram[tinyData+5] = 0x00
		g.put64(tinyGDT+selData, g.get64(tinyGDT+selData)|segmentAccessed<<40)
		if c.name == "XLAT" {
			g.ram[tinyData+5] = 0xF5
		}
		if c.name == "BOUND" {
			g.put64(tinyData, 0x7FFFFFFF_80000000)
		}
		if g.halts(); g.R[rax] != c.rax || g.flags.carry() != c.carry {
			t.Errorf("%s: EAX %#x, want %#x; carry %v", c.name, g.R[rax], c.rax, g.flags.carry())
		}
	}
}

// Exceptions of x87 wait for the next instruction that waits; those of SSE do not.
func TestUnitExceptions(t *testing.T) {
	const fcw, mxcsr = 0x37F, 0x1F80
	for _, c := range []struct {
		name, code string
		vector     int
		offset     uint64
		setup      func(g *tiny)
	}{
		{"division by zero", "d9 2b d9 e8 d9 ee de f9 df e0 d9 e8", vectorMF, 10, func(g *tiny) { g.put64(tinyData, fcw&^4) }},
		{"WAIT", "d9 2b d9 e8 d9 ee de f9 9b", vectorMF, 8, func(g *tiny) { g.put64(tinyData, fcw&^4) }},
		{"MMX", "d9 2b d9 e8 d9 ee de f9 0f 77", vectorMF, 8, func(g *tiny) { g.put64(tinyData, fcw&^4) }},
		{"FNCLEX clears it", "d9 2b d9 e8 d9 ee de f9 db e2 9b f4", -1, 0, func(g *tiny) { g.put64(tinyData, fcw&^4) }},
		{"a number too large is not stored", "d9 2b df 6b 08 df 1b 9b", vectorMF, 7, func(g *tiny) { g.put64(tinyData, fcw&^1); g.put64(tinyData+8, 1<<40) }},
		{"masked", "d9 e8 d9 ee de f9 9b f4", -1, 0, nil},
		{"SSE", "0f ae 13 0f 57 c0 f3 0f 10 4b 04 f3 0f 5e c8", vectorXM, 11, divides}, {"SSE without OSXMMEXCPT", "0f ae 13 0f 57 c0 f3 0f 10 4b 04 f3 0f 5e c8", vectorUD, 11, func(g *tiny) { divides(g); g.cr4 &^= cr4OSXMMEXCPT }},
		{"TS", "d9 e8", vectorNM, 0, func(g *tiny) { g.cr0 |= cr0TS }}, {"TS and SSE", "0f 57 c0", vectorNM, 0, func(g *tiny) { g.cr0 |= cr0TS }}, {"EM", "d9 e8", vectorNM, 0, func(g *tiny) { g.cr0 |= cr0EM }},
		{"EM and MMX", "0f 77", vectorUD, 0, func(g *tiny) { g.cr0 |= cr0EM | cr0TS }}, {"MMX without OSFXSR", "0f 77 f4", -1, 0, func(g *tiny) { g.cr4 &^= cr4OSFXSR }},
		{"SSE without OSFXSR", "0f 57 c0", vectorUD, 0, func(g *tiny) { g.cr4 &^= cr4OSFXSR; g.cr0 |= cr0TS }},
		{"WAIT with TS", "9b f4", -1, 0, func(g *tiny) { g.cr0 |= cr0TS }}, {"WAIT with MP and TS", "9b", vectorNM, 0, func(g *tiny) { g.cr0 |= cr0TS | cr0MP }},
		{"an undefined one with TS", "d9 d1", vectorUD, 0, func(g *tiny) { g.cr0 |= cr0TS }},
		{"FXSAVE unaligned", "0f ae 43 08", vectorGP, 0, nil}, {"FXRSTOR: reserved bits", "0f ae 0b", vectorGP, 0, func(g *tiny) { g.put64(tinyData+fxMXCSR, mxcsr|1<<16) }},
		{"LDMXCSR: reserved bits", "0f ae 13", vectorGP, 0, func(g *tiny) { g.put64(tinyData, 1<<16) }}, {"MOVAPS unaligned", "0f 28 43 08", vectorGP, 0, nil},
		{"XSAVE", "0f ae 23", vectorUD, 0, nil}, {"RDFSBASE", "f3 0f ae c0", vectorUD, 0, nil}, {"CLFLUSHOPT", "66 0f ae 3b", vectorUD, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newTiny(t, long0, c.code)
			g.units()
			if c.setup != nil {
				c.setup(g)
			}
			low := g.get64(tinyData)
			if c.vector < 0 {
				g.halts()
			} else {
				g.raises(c.vector, 0, c.offset)
			}
			if g.get64(tinyData) != low {
				t.Errorf("memory has %#x", g.get64(tinyData))
			}
		})
	}
	g := newTiny(t, long0, "d9 2b d9 e8 d9 ee de f9 9b")
	g.units()
	g.put64(tinyData, fcw&^4)
	g.cr0 &^= cr0NE
	if g.run(); g.exit.Kind != hypervisor.ExitInternalError {
		t.Errorf("without CR0.NE: %+v", g.exit)
	}
}

func divides(g *tiny) { g.put64(tinyData, 0x3F80_0000<<32|0x1F80&^(1<<9)) }

// FXSAVE and FNSTENV have the guest's pointers.
func TestX87Pointers(t *testing.T) {
	g := newTiny(t, long0, "90 dd 43 08 48 0f ae 03 d9 b3 00 02 00 00 f4")
	g.units()
	g.halts()
	if ip, dp := g.get64(tinyData+fxFIP), g.get64(tinyData+fxFDP); ip != tinyCode+1 || dp != tinyData+8 {
		t.Errorf("FXSAVE: %#x, %#x", ip, dp)
	}
	if ip, dp := g.get32(tinyData+0x200+12), g.get32(tinyData+0x200+20); ip != tinyCode+1 || dp != tinyData+8 {
		t.Errorf("FNSTENV: %#x, %#x", ip, dp)
	}
	// With 16-bit operands it has 14 bytes.
	g = newTiny(t, long0, "66 d9 33 f4")
	g.units()
	g.put64(tinyData+14, ^uint64(0))
	if g.halts(); g.get64(tinyData+14) != ^uint64(0) || binary.LittleEndian.Uint16(g.ram[tinyData:]) != 0x37F {
		t.Errorf("% x", g.ram[tinyData:tinyData+28])
	}
}

// AESENC of zeroes, and a product without carries.
func TestAES(t *testing.T) {
	if f := native.HostFeatures(); !f.AES || !f.PCLMULQDQ {
		t.Skip("the host's processor has none")
	}
	g := newTiny(t, long3, "66 0f 38 dc c1 0f 29 03 66 0f 3a 44 d2 00 0f 29 53 10 cc")
	g.units()
	g.CPU.units.FX[160+32] = 3
	if g.run(); g.vector() != vectorBP || !bytes.Equal(g.ram[tinyData:tinyData+16], bytes.Repeat([]byte{0x63}, 16)) || g.get64(tinyData+16) != 5 {
		t.Errorf("vector %d, % x", g.vector(), g.ram[tinyData:tinyData+32])
	}
}

// What CPUID offers is there: an instruction of each feature is executed, and none that is not offered.
func TestOffered(t *testing.T) {
	leaf := map[uint32]hypervisor.CPUID{}
	for _, e := range features() {
		if e.Index == 0 {
			leaf[e.Leaf] = e
		}
	}
	one, seven, extended := leaf[1], leaf[7], leaf[0x8000_0001]
	for _, c := range []struct {
		name, code string
		register   uint32
		bit        int
	}{
		{"x87", "d9 e8", one.EDX, 0}, {"TSC", "0f 31", one.EDX, 4}, {"MSR", "b9 77 02 00 00 0f 32", one.EDX, 5}, {"CMPXCHG8B", "0f c7 0b", one.EDX, 8}, {"SYSENTER", "b9 74 01 00 00 0f 32", one.EDX, 11},
		{"MTRR", "b9 fe 00 00 00 0f 32", one.EDX, 12}, {"CMOV", "0f 44 c1", one.EDX, 15}, {"PAT", "b9 77 02 00 00 0f 32", one.EDX, 16}, {"CLFLUSH", "0f ae 3b", one.EDX, 19},
		{"MMX", "0f fc c1", one.EDX, 23}, {"FXSAVE", "0f ae 03", one.EDX, 24}, {"SSE", "0f 58 c1", one.EDX, 25}, {"SSE2", "66 0f 58 c1", one.EDX, 26},
		{"SSE3", "f2 0f 7c c1", one.ECX, 0}, {"PCLMULQDQ", "66 0f 3a 44 c1 00", one.ECX, 1}, {"MONITOR", "0f 01 c8", one.ECX, 3}, {"SSSE3", "66 0f 38 00 c1", one.ECX, 9}, {"FMA", "c4 e2 71 98 c2", one.ECX, 12},
		{"CMPXCHG16B", "48 0f c7 0b", one.ECX, 13}, {"SSE4.1", "66 0f 38 40 c1", one.ECX, 19}, {"SSE4.2", "f2 0f 38 f1 c1", one.ECX, 20}, {"MOVBE", "0f 38 f0 03", one.ECX, 22}, {"POPCNT", "f3 0f b8 c1", one.ECX, 23},
		{"AES", "66 0f 38 dc c1", one.ECX, 25}, {"XSAVE", "0f 01 d0", one.ECX, 26}, {"AVX", "c5 f8 58 c1", one.ECX, 28}, {"RDRAND", "0f c7 f0", one.ECX, 30},
		{"FSGSBASE", "f3 0f ae c0", seven.EBX, 0}, {"BMI1", "c4 e2 70 f2 c2", seven.EBX, 3}, {"ERMS", "f3 a4", seven.EBX, 9}, {"INVPCID", "66 0f 38 82 03", seven.EBX, 10}, {"RTM", "c7 f8 00 00 00 00", seven.EBX, 11}, {"RDSEED", "0f c7 f8", seven.EBX, 18},
		{"ADX", "66 0f 38 f6 c1", seven.EBX, 19}, {"SMAP", "0f 01 ca", seven.EBX, 20}, {"CLFLUSHOPT", "66 0f ae 3b", seven.EBX, 23}, {"CLWB", "66 0f ae 33", seven.EBX, 24}, {"SHA", "0f 38 c8 c1", seven.EBX, 29},
		{"SYSCALL", "b9 81 00 00 c0 0f 32", extended.EDX, 11}, {"RDTSCP", "0f 01 f9", extended.EDX, 27}, {"LAHF", "9f", extended.ECX, 0},
	} {
		g := newTiny(t, long0, c.code+" f4")
		g.units()
		g.R[rcx] = 0
		g.run()
		offered := c.register>>c.bit&1 != 0
		if executed := g.vector() < 0; executed != offered || !executed && g.vector() != vectorUD {
			t.Errorf("%s: offered %v, executed %v, vector %d", c.name, offered, executed, g.vector())
		}
	}
}
