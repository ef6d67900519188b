package soft

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// raising are instructions that are a fault, and the error code; setup changes the guest before.
var raising = []struct {
	name   string
	ring   ring
	code   string
	vector int
	err    uint64
	offset uint64
	setup  func(g *tiny)
}{
	// 64-bit mode: addresses that are not canonical, by segment.
	{"load", long0, "48 bb 00 00 00 00 00 00 00 80 8b 03", vectorGP, 0, 10, nil},
	{"load by RBP", long0, "48 bd 00 00 00 00 00 00 00 80 8b 45 00", vectorSS, 0, 10, nil},
	{"push", long0, "48 bc 00 00 00 00 00 00 00 80 50", vectorSS, 0, 10, func(g *tiny) { g.ist(vectorSS) }},
	{"push of an operand", long3, "48 bb 00 00 00 00 00 00 00 80 ff 33", vectorGP, 0, 10, nil},
	{"RET", long3, "48 b8 00 00 00 00 00 00 00 80 50 c3", vectorGP, 0, 11, nil},
	{"JMP", long3, "48 b8 00 00 00 00 00 00 00 80 ff e0", vectorGP, 0, 10, nil},
	{"SYSRET", long0, "48 b9 00 00 00 00 00 00 00 80 48 0f 07", vectorGP, 0, 10, nil},
	// Privilege.
	{"HLT", long3, "f4", vectorGP, 0, 0, nil}, {"CLI", long3, "fa", vectorGP, 0, 0, nil}, {"IN", long3, "e4 10", vectorGP, 0, 0, nil},
	{"MOV CR0", long3, "0f 20 c0", vectorGP, 0, 0, nil}, {"MOV CR1", long3, "0f 20 c8", vectorUD, 0, 0, nil}, {"RDPMC", long0, "0f 33", vectorGP, 0, 0, nil},
	{"WRMSR", long3, "0f 30", vectorGP, 0, 0, nil}, {"LGDT", long3, "0f 01 13", vectorGP, 0, 0, nil}, {"INVLPG", long3, "0f 01 3b", vectorGP, 0, 0, nil},
	{"MOV DR7", long3, "0f 21 f8", vectorGP, 0, 0, nil}, {"SYSEXIT", long3, "0f 35", vectorGP, 0, 0, nil}, {"RDTSC with CR4.TSD", long3, "0f 31", vectorGP, 0, 0, func(g *tiny) { g.cr4 |= 4 }},
	// What is undefined.
	{"UD0", long3, "0f ff c0", vectorUD, 0, 0, nil}, {"UD1", long3, "0f b9 c0", vectorUD, 0, 0, nil}, {"UD2", long3, "0f 0b", vectorUD, 0, 0, nil},
	{"LOCK on a register", long3, "f0 01 c0", vectorUD, 0, 0, nil}, {"LOCK on a load", long3, "f0 8b 03", vectorUD, 0, 0, nil}, {"LOCK CMP", long3, "f0 39 03", vectorUD, 0, 0, nil},
	{"RSM", long0, "0f aa", vectorUD, 0, 0, nil}, {"VMCALL", long0, "0f 01 c1", vectorUD, 0, 0, nil}, {"VMREAD", long0, "0f 78 c0", vectorUD, 0, 0, nil},
	{"SYSCALL in compatibility mode", compat3, "0f 05", vectorUD, 0, 0, nil}, {"XGETBV", long3, "0f 01 d0", vectorUD, 0, 0, nil}, {"SWAPGS there", compat3, "0f 01 f8", vectorUD, 0, 0, nil},
	{"DAA in 64-bit mode", long3, "27", vectorUD, 0, 0, nil}, {"PUSHA there", long3, "60", vectorUD, 0, 0, nil}, {"LDS there", long3, "c5 03", vectorUD, 0, 0, nil},
	{"MOV CS", long0, "8e c8", vectorUD, 0, 0, nil}, {"LAR in real mode", real16, "0f 02 c0", vectorUD, 0, 0, nil}, {"SLDT there", real16, "0f 00 c0", vectorUD, 0, 0, nil},
	{"16 bytes", long3, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", vectorGP, 0, 0, nil},
	// Control and model-specific registers.
	{"CR0: PG without PE", long0, "b8 00 00 00 80 0f 22 c0", vectorGP, 0, 5, nil}, {"CR0: PG off in 64-bit mode", long0, "b8 21 00 00 00 0f 22 c0", vectorGP, 0, 5, nil},
	{"CR0: NW without CD", long0, "b8 21 00 00 a0 0f 22 c0", vectorGP, 0, 5, nil}, {"CR0: upper half", long0, "48 b8 21 00 00 80 01 00 00 00 0f 22 c0", vectorGP, 0, 10, nil},
	{"CR4: PCIDE", long0, "b8 20 00 02 00 0f 22 e0", vectorGP, 0, 5, nil}, {"CR4: PAE off", long0, "31 c0 0f 22 e0", vectorGP, 0, 2, nil},
	{"CR3: bit 63", long0, "48 b8 00 10 00 00 00 00 00 80 0f 22 d8", vectorGP, 0, 10, nil}, {"CR8", long0, "b8 10 00 00 00 44 0f 22 c0", vectorGP, 0, 5, nil},
	{"EFER: a reserved bit", long0, "b9 80 00 00 c0 b8 02 05 00 00 31 d2 0f 30", vectorGP, 0, 12, nil}, {"EFER: LME off", long0, "b9 80 00 00 c0 31 c0 31 d2 0f 30", vectorGP, 0, 9, nil},
	{"PAT: a reserved type", long0, "b9 77 02 00 00 b8 02 00 00 00 31 d2 0f 30", vectorGP, 0, 12, nil}, {"LSTAR", long0, "b9 82 00 00 c0 31 c0 ba 00 00 00 80 0f 30", vectorGP, 0, 12, nil},
	{"MTRR: a reserved type", long0, "b9 ff 02 00 00 b8 02 00 00 00 31 d2 0f 30", vectorGP, 0, 12, nil}, {"TSC_AUX", long0, "b9 03 01 00 c0 31 c0 ba 01 00 00 00 0f 30", vectorGP, 0, 12, nil},
	{"no such register", long0, "b9 00 0f 00 00 0f 32", vectorGP, 0, 5, nil}, {"SYSENTER without CS", long3, "0f 34", vectorGP, 0, 0, nil},
	// Segments' registers.
	{"a selector beyond the GDT", long3, "b8 03 01 00 00 8e d8", vectorGP, 0x100, 5, nil}, {"DS of more privilege", long3, "b8 10 00 00 00 8e d8", vectorGP, 0x10, 5, nil},
	{"DS not present", long3, "b8 63 00 00 00 8e d8", vectorNP, 0x60, 5, nil}, {"SS not present", long3, "b8 63 00 00 00 8e d0", vectorSS, 0x60, 5, nil},
	{"SS null", long3, "31 c0 8e d0", vectorGP, 0, 2, nil}, {"DS: code that can't be read", long3, "b8 7b 00 00 00 8e d8", vectorGP, 0x78, 5, nil}, {"SS: read-only", long3, "b8 83 00 00 00 8e d0", vectorGP, 0x80, 5, nil},
	{"an LDT that is not there", long3, "b8 07 00 00 00 8e d8", vectorGP, 4, 5, nil}, {"LTR of a busy task", long0, "b8 90 00 00 00 0f 00 d8", vectorGP, 0x90, 5, nil}, {"LTR null", long0, "31 c0 0f 00 d8", vectorGP, 0, 2, nil},
	{"LLDT of a code segment", long0, "b8 08 00 00 00 0f 00 d0", vectorGP, 8, 5, nil},
	// Limits and rights outside of 64-bit mode.
	{"null DS", compat3, "31 c0 8e d8 8b 03", vectorGP, 0, 4, nil}, {"beyond a limit", compat3, "b8 4b 00 00 00 8e e0 64 a1 fd 0f 00 00", vectorGP, 0, 7, nil},
	{"below an expand-down limit", flat3, "b8 53 00 00 00 8e e0 64 a1 ff 0f 00 00", vectorGP, 0, 7, nil}, {"a write to read-only data", compat3, "b8 83 00 00 00 8e e0 64 a3 00 00 02 00", vectorGP, 0, 7, nil},
	{"a write to code", compat3, "2e a3 00 00 02 00", vectorGP, 0, 0, nil}, {"a read of execute-only code", compat3, "2e a1 00 00 02 00", vectorGP, 0, 0, func(g *tiny) { g.segments[1].attr &^= segmentWrite; g.setMode() }},
	{"the stack segment's limit", flat3, "8b 45 00", vectorSS, 0, 0, func(g *tiny) { g.segments[2].limit = 0xFFF; g.R[rbp] = 0xFFE; g.setMode() }},
	{"push beyond it", flat3, "50", vectorSS, 0, 0, func(g *tiny) { g.segments[2].limit = 0xFFF; g.setMode() }},
	{"JMP beyond the code segment's limit", flat0, "e9 fb ff 00 00", vectorGP, 0, 0, func(g *tiny) { g.segments[1].limit = tinyCode + 0xFF; g.setMode() }},
	{"execution beyond it", flat0, "90 90 b8 00 00 00 00", vectorGP, 0, 2, func(g *tiny) { g.segments[1].limit = tinyCode + 4; g.setMode() }},
	{"a word at the end of a real-mode segment", real16, "a1 ff ff", vectorGP, 0, 0, nil},
	// Arithmetic and such.
	{"DIV by 0", long3, "31 c9 f7 f1", vectorDE, 0, 2, nil}, {"AAM 0", flat3, "d4 00", vectorDE, 0, 0, nil}, {"BOUND", flat3, "62 03", vectorBR, 0, 0, func(g *tiny) { g.R[rax] = 1 }},
	{"INTO", flat3, "b0 7f 04 01 ce", vectorOF, 0, 5, nil}, {"INT3", long3, "cc", vectorBP, 0, 1, nil}, {"INT1", long3, "f1", vectorDB, 0, 1, nil},
	{"INT n", long3, "cd 80", 0x80, 0, 2, nil}, {"INT n of more privilege", long3, "cd 80", vectorGP, 0x80<<3 | 2, 0, func(g *tiny) { g.ram[tinyIDT+16*0x80+5] = 0x8E }},
	{"INT n not present", long3, "cd 80", vectorNP, 0x80<<3 | 2, 0, func(g *tiny) { g.ram[tinyIDT+16*0x80+5] = 0x6E }},
	{"INT n in real mode", real16, "cd 80", 0x80, 0, 2, nil}, {"CMPXCHG16B unaligned", long3, "48 0f c7 4b 08", vectorGP, 0, 0, nil},
	// Alignment.
	{"an unaligned load", long3, "9d 8b 43 01", vectorAC, 0, 1, alignment}, {"an unaligned push", compat3, "9d 4c 50", vectorAC, 0, 2, alignment},
	// Pages.
	{"a page that is not there", long3, "8b 03", vectorPF, faultUser, 0, func(g *tiny) { g.put64(tinyPT+8*(tinyData>>12), 0) }},
	{"a write to a read-only page", long3, "89 03", vectorPF, faultPresent | faultUser | faultWrite, 0, func(g *tiny) { g.put64(tinyPT+8*(tinyData>>12), tinyData|5) }},
	{"a supervisor's page", long3, "8b 03", vectorPF, faultPresent | faultUser, 0, func(g *tiny) { g.put64(tinyPT+8*(tinyData>>12), tinyData|3) }},
	{"a reserved bit", long0, "8b 03", vectorPF, faultPresent | faultBits, 0, func(g *tiny) { g.put64(tinyPT+8*(tinyData>>12), tinyData|7|1<<51) }},
	{"MOVSQ into it", long0, "be 00 10 02 00 89 df 48 a5", vectorPF, faultWrite, 7, func(g *tiny) { g.put64(tinyPT+8*(tinyData>>12), 0) }},
}

// ist gives a vector the interrupt stack.
func (g *tiny) ist(vector int) { g.ram[tinyIDT+16*vector+4] = 1 }

// alignment has alignment checked once RFLAGS is popped.
func alignment(g *tiny) {
	g.cr0 |= cr0AM
	n := uint64(8)
	if !g.segments[1].is(segmentLong) {
		n = 4
	}
	g.R[rsp] -= n
	g.put64(int(g.R[rsp]), g.get64(g.R[rsp])&^0xFFFF_FFFF|flagAC|2)
}

func TestFaults(t *testing.T) {
	for _, c := range raising {
		t.Run(c.name, func(t *testing.T) {
			g := newTiny(t, c.ring, c.code)
			if c.setup != nil {
				c.setup(g)
			}
			g.raises(c.vector, c.err, c.offset)
		})
	}
}

// What the software processor does not have and cannot answer with an exception ends the machine.
func TestUnsupportedEndsTheMachine(t *testing.T) {
	for _, c := range []struct {
		name string
		ring ring
		code string
		want string
	}{
		{"JMP to a TSS", flat0, "ea 00 00 00 00 a0 00", "a task switch, which the software processor does not have"},
		{"CALL to a TSS", flat0, "9a 00 00 00 00 a0 00", "a task switch, which the software processor does not have"},
		{"IRET with NT", flat0, "68 02 40 00 00 9d cf", "a task switch, which the software processor does not have"},
		{"IRET to virtual-8086 mode", flat0, "68 02 00 02 00 6a 00 6a 00 cf", "virtual-8086 mode, which the software processor does not have"},
		{"a task gate", flat0, "cd 81", "a task gate, which the software processor does not have"},
		{"an exception's task gate", flat0, "0f 0b", "a task gate, which the software processor does not have"},
		{"INT1's task gate", flat0, "f1", "a task gate, which the software processor does not have"},
		{"32-bit paging", flat0, "b8 21 00 00 80 0f 22 c0", "32-bit paging, which the software processor does not have"},
	} {
		g := newTiny(t, c.ring, c.code)
		for _, vector := range []int{vectorDB, vectorUD, 0x81} {
			g.ram[tinyIDT+8*vector+5] = 0xE5 // a task gate
		}
		if g.run(); g.exit.Kind != hypervisor.ExitInternalError || g.exit.Detail != c.want {
			t.Errorf("%s: %v, %q", c.name, g.exit.Kind, g.exit.Detail)
		}
	}
}

// IA32_APIC_BASE: what modes follow each other, and reserved bits.
func TestAPICBase(t *testing.T) {
	const base, on, x2 = apicDefaultBase, apicBaseEnable, apicBaseX2
	for _, c := range []struct {
		from []uint64
		to   uint64
		want bool
	}{
		{nil, base | on | x2, true}, {nil, base, true}, {nil, base | x2, false}, {[]uint64{base}, base | on | x2, false}, {[]uint64{base}, base | on, true},
		{[]uint64{base | on | x2}, base | on, false}, {[]uint64{base | on | x2}, base, true}, {nil, base | on | 1<<9, false}, {nil, 1<<50 | on, false}, {nil, 0x1_0000_0000 | on, true},
	} {
		g := newTiny(t, long0, "f4")
		g.apic = newAPIC(g.CPU, 0)
		for _, v := range c.from {
			if !g.writeMSR(msrAPICBase, v) {
				t.Errorf("%#x", v)
			}
		}
		if got := g.writeMSR(msrAPICBase, c.to); got != c.want {
			t.Errorf("%#x after %#x: %v", c.to, c.from, got)
		}
	}
}
