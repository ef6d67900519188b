package privileged

import "fmt"

// setGate is the setup that rewrites the IDT's gate of a vector. Only those values that differ from the harness's
// are given: a selector, the word with IST, type, DPL and P, or the stub of another vector.
func setGate(vector int, selector string, kind uint16) string {
	s := ""
	if selector != "" {
		s += fmt.Sprintf("mov word ptr [IDT + 16*%d + 2], %s\n", vector, selector)
	}
	return s + fmt.Sprintf("mov word ptr [IDT + 16*%d + 4], %#x\n", vector, kind)
}

const (
	interruptGate = 0x8E00
	trapGate      = 0x8F00
	gateRing3     = 0x6000
)

// interruptCases enter handlers by all kinds of gates.
func interruptCases() (list []Case) {
	rings := func(name, setup, code string) {
		for ring := range 4 {
			list = append(list, Case{Name: fmt.Sprintf("gate: %s r%d", name, ring), Ring: ring, Setup: setup, Code: code, RFLAGS: 0x246})
		}
		list = append(list, Case{Name: fmt.Sprintf("gate: %s compat r3", name), Mode: Compat, Ring: 3, Setup: setup, Code: code, RFLAGS: 0x246})
	}
	for _, g := range []struct {
		name, selector string
		kind           uint16
	}{
		{"interrupt", "", interruptGate | gateRing3}, {"trap", "", trapGate | gateRing3}, {"of ring 0", "", interruptGate}, {"of ring 1", "", interruptGate | 0x2000}, {"not present", "", interruptGate&0x7FFF | gateRing3},
		{"not present of ring 0", "", interruptGate & 0x7FFF}, {"of 32-bit call", "", 0x8C00 | gateRing3}, {"of 16-bit interrupt", "", 0x8600 | gateRing3}, {"task", "", 0x8500 | gateRing3}, {"TSS", "", 0x8900 | gateRing3}, {"type 0", "", 0x8000 | gateRing3},
		{"null selector", "0", interruptGate | gateRing3}, {"null selector with RPL", "3", interruptGate | gateRing3}, {"selector beyond the GDT", "0xFFF8", interruptGate | gateRing3}, {"selector beyond the LDT", "0x7C", interruptGate | gateRing3},
		{"data", "DATA0", interruptGate | gateRing3}, {"code of 32 bits", "CODE32_0", interruptGate | gateRing3}, {"code of both sizes", "CODELONGBIG", interruptGate | gateRing3}, {"code that is not present", "CODEMISSING0", interruptGate | gateRing3},
		{"code of ring 3", "CODE3", interruptGate | gateRing3}, {"code of ring 1", "CODE1", interruptGate | gateRing3}, {"code of ring 2", "CODE2", interruptGate | gateRing3}, {"conforming code", "CONFORM0", interruptGate | gateRing3}, {"conforming code of ring 3", "CONFORM3", interruptGate | gateRing3},
		{"conforming code that is not present", "CONFORM0MISSING", interruptGate | gateRing3}, {"TSS as code", "TSSSEL", interruptGate | gateRing3}, {"LDT code of ring 3", "LCODE3", interruptGate | gateRing3}, {"RPL 3", "CODE0 + 3", interruptGate | gateRing3},
	} {
		rings(g.name, setGate(0x83, g.selector, g.kind), "int 0x83")
		list = append(list, Case{Name: "gate of an exception: " + g.name + " r3", Ring: 3, Setup: setGate(6, g.selector, g.kind), Code: "ud2"})
		list = append(list, Case{Name: "gate of an exception: " + g.name + " r0", Setup: setGate(6, g.selector, g.kind), Code: "ud2"})
		list = append(list, Case{Name: "gate of int3: " + g.name + " r3", Ring: 3, Setup: setGate(3, g.selector, g.kind), Code: "int3"})
	}
	rings("not canonical", setGate(0x83, "", interruptGate|gateRing3)+"mov dword ptr [IDT + 16*0x83 + 8], 0x8000", "int 0x83")
	for i := 1; i <= 7; i++ {
		rings(fmt.Sprintf("IST %d", i), setGate(0x83, "", interruptGate|gateRing3|uint16(i)), "int 0x83")
	}
	for _, s := range []struct{ name, setup string }{
		{"IST 2 not canonical", "mov dword ptr [TSS + 36 + 12], 0x8000\n"}, {"IST 2 not mapped", "mov dword ptr [TSS + 36 + 8], 0x30000000\n"}, {"IST 2 not aligned", "add dword ptr [TSS + 36 + 8], -7\n"}, {"IST 2 null", "mov qword ptr [TSS + 36 + 8], 0\n"}, {"IST 2 in a page of the user", "mov dword ptr [TSS + 36 + 12], 0x80; mov dword ptr [TSS + 36 + 8], 0x1000\n"},
		{"IST 2 in a read-only page", "mov dword ptr [TSS + 36 + 12], 0x80; mov dword ptr [TSS + 36 + 8], 0x1000; btr qword ptr [TPT], 1\n"},
	} {
		rings(s.name, s.setup+setGate(0x83, "", interruptGate|gateRing3|2), "int 0x83")
	}
	for _, s := range []struct{ name, setup string }{
		{"RSP0 not canonical", "mov dword ptr [TSS + 8], 0x8000\n"}, {"RSP0 not mapped", "mov dword ptr [TSS + 4], 0x30000000\n"}, {"RSP0 not aligned", "add dword ptr [TSS + 4], -3\n"}, {"RSP0 across pages", "mov dword ptr [TSS + 8], 0x80; mov dword ptr [TSS + 4], 0x1010; btr qword ptr [TPT], 0\n"},
	} {
		rings(s.name, s.setup, "int 0x83")
		rings(s.name+", faults on IST 1", s.setup+"mov byte ptr [IDT + 16*12 + 4], 1; mov byte ptr [IDT + 16*14 + 4], 1", "int 0x83")
		rings(s.name+", #DF on IST 1", s.setup+"mov byte ptr [IDT + 16*8 + 4], 1", "int 0x83")
	}
	for _, s := range []struct{ name, code string }{{"TSS that is short", "TSSSHORT"}, {"TSS without a map", "TSSNOMAP"}} {
		load := "mov eax, " + s.code + "; ltr ax\n"
		list = append(list,
			Case{Name: "gate: IST 1 with a " + s.name, Setup: setGate(0x83, "", interruptGate|1), Code: load + "int 0x83"},
			Case{Name: "gate: ring 3 with a " + s.name, Code: load + toRing3("int 0x83")}, Case{Name: "gate: ring 3 to 1 with a " + s.name, Setup: setGate(0x83, "CODE1", interruptGate|gateRing3), Code: load + toRing3("int 0x83")},
			Case{Name: "port with a " + s.name, Code: load + toRing3("out 0x80, al")},
		)
	}
	for _, limit := range []string{"0x83F", "0x83E", "0x837", "0x82F", "0xFFF", "0"} {
		list = append(list, Case{Name: "gate: IDT limit " + limit, Code: "push IDT; sub rsp, 2; mov word ptr [rsp], " + limit + "; lidt [rsp]; int 0x83"})
		list = append(list, Case{Name: "gate: IDT limit " + limit + " r3", Code: "push IDT; sub rsp, 2; mov word ptr [rsp], " + limit + "; lidt [rsp]\n" + toRing3("int 0x83")})
	}
	for _, s := range []struct{ name, setup string }{{"IDT not present", "btr qword ptr [TPT], 0"}, {"IDT of the user", ""}, {"IDT reserved", "bts qword ptr [TPT], 49"}, {"IDT across pages", "mov qword ptr [TPT + 8], IDT + 7"}} {
		for _, code := range []string{"int 0x83", toRing3("int 0x83")} {
			list = append(list, Case{Name: fmt.Sprintf("gate: %s, %d bytes of code", s.name, len(code)), Setup: "mov qword ptr [TPT], IDT + 7; mov qword ptr [TPT + 8], IDT + 7\n" + s.setup, Code: "mov rax, SMALL; push rax; sub rsp, 2; mov word ptr [rsp], 0xFFF; lidt [rsp]\n" + code})
		}
	}
	return append(list, nestedCases()...)
}

// toRing3 is code of ring 0 that goes on in ring 3.
func toRing3(code string) string {
	return "push DATA3; mov rax, CASE_STACK + USER - 256; push rax; push 2; push CODE3; lea rax, [rip + 90f]; add rax, USER; push rax; iretq\n90:\n" + code
}

// nestedCases have the delivery of an exception be a fault.
func nestedCases() (list []Case) {
	firsts := []struct {
		name   string
		vector int
		code   string
	}{
		{"#DE", 0, "xor ecx, ecx; div ecx"}, {"#DB", 1, ".byte 0xF1"}, {"#BP", 3, "int3"}, {"#UD", 6, "ud2"}, {"#NP", 11, "mov eax, MISSING3; mov ds, eax"}, {"#SS", 12, "mov eax, MISSING0; mov ss, eax"}, {"#GP", 13, "mov eax, 0xFFF8; mov ds, eax"}, {"#PF", 14, "mov eax, [0x30000000]"}, {"INT", 0x83, "int 0x83"},
	}
	seconds := []struct{ name, setup string }{
		{"#NP", "mov byte ptr [IDT + 16*%d + 5], 0x6E\n"}, {"#GP by type", "mov byte ptr [IDT + 16*%d + 5], 0xE5\n"}, {"#GP by selector", "mov word ptr [IDT + 16*%d + 2], DATA0\n"}, {"#NP by selector", "mov word ptr [IDT + 16*%d + 2], CODEMISSING0\n"},
		{"#SS", "mov byte ptr [IDT + 16*%d + 4], 6; mov dword ptr [TSS + 36 + 44], 0x8000\n"}, {"#PF", "mov byte ptr [IDT + 16*%d + 4], 7; mov dword ptr [TSS + 36 + 48], 0x30000000\n"},
	}
	for _, first := range firsts {
		for _, second := range seconds {
			for _, ring := range []int{0, 3} {
				if first.name == "#SS" && ring == 3 {
					continue // it takes ring 0 to load a stack segment of ring 0
				}
				setup := fmt.Sprintf(second.setup, first.vector) + "mov byte ptr [IDT + 16*8 + 4], 1\n"
				if first.vector >= 0x80 {
					setup += "or byte ptr [IDT + 16*0x83 + 5], 0x60\n"
				}
				list = append(list, Case{Name: fmt.Sprintf("nested: %s after %s r%d", second.name, first.name, ring), Ring: ring, Setup: setup, Code: first.code})
			}
		}
	}
	const badDF = "mov byte ptr [IDT + 16*8 + 5], 0x0E\n"
	for _, in := range []struct{ name, setup, code string }{
		{"#DF not present after #NP in #GP", badDF + "mov byte ptr [IDT + 16*13 + 5], 0x0E", "mov eax, 0xFFF8; mov ds, eax"}, {"#DF not present after #PF in #PF", badDF + "mov byte ptr [IDT + 16*14 + 4], 7; mov dword ptr [TSS + 36 + 48], 0x30000000", "mov eax, [0x30000000]"},
		{"#DF on a stack that is not mapped", "mov byte ptr [IDT + 16*8 + 4], 7; mov dword ptr [TSS + 36 + 48], 0x30000000; mov byte ptr [IDT + 16*13 + 5], 0x0E", "mov eax, 0xFFF8; mov ds, eax"},
		{"no IDT", "", "push 0; push 0; lidt [rsp]; ud2"}, {"stack that is not mapped", "", "mov esp, 0x30000000; ud2"}, {"stack that is not canonical", "", "mov rsp, 0x900000000000; ud2"}, {"#NP in #UD, and in #NP", "mov byte ptr [IDT + 16*6 + 5], 0x0E; mov byte ptr [IDT + 16*11 + 5], 0x0E", "ud2"},
		{"#GP in #UD, and #PF in #GP", "mov byte ptr [IDT + 16*6 + 5], 0x85; mov byte ptr [IDT + 16*13 + 4], 7; mov dword ptr [TSS + 36 + 48], 0x30000000", "ud2"}, {"#PF in #UD, and #GP in #PF", "mov byte ptr [IDT + 16*6 + 4], 7; mov dword ptr [TSS + 36 + 48], 0x30000000; mov byte ptr [IDT + 16*14 + 5], 0x85", "ud2"},
		{"handler that is not mapped", "mov word ptr [IDT + 16*6 + 6], 0x3000", "ud2"}, {"handler without execution", "mov qword ptr [IDT + 16*6 + 8], 0x80; mov word ptr [IDT + 16*6], 0; mov word ptr [IDT + 16*6 + 6], 0; bts qword ptr [TPT], 63", "ud2"},
	} {
		list = append(list, Case{Name: "nested: " + in.name, Setup: in.setup, Code: in.code}, Case{Name: "nested, from ring 3: " + in.name, Setup: in.setup, Code: toRing3(in.code)})
	}
	for _, c := range []struct{ name, code string }{
		{"no IDT", "push 0; push 0; lidt [esp]; ud2"}, {"IDT beyond its limit", "push IDT32; sub esp, 2; mov word ptr [esp], 0x50; lidt [esp]; int3; ud2"}, {"#GP in #UD", "mov byte ptr [IDT32 + 8*6 + 5], 0x80; ud2"}, {"#NP in #GP", "mov byte ptr [IDT32 + 8*13 + 5], 0x0E; mov eax, 0xFFF8; mov ds, eax"},
		{"#NP in #DE", "mov byte ptr [IDT32 + 5], 0x0E; xor ecx, ecx; div ecx"}, {"#GP by selector", "mov word ptr [IDT32 + 8*6 + 2], DATA0; ud2"}, {"trap gate", "mov byte ptr [IDT32 + 8*6 + 5], 0x8F; ud2"}, {"conforming", "mov word ptr [IDT32 + 8*6 + 2], CONFORM32_0; ud2"},
		{"stack of ring 0 null", "mov dword ptr [TSS32 + 8], 0; int 0x83"}, {"stack of ring 0 of ring 3", "mov dword ptr [TSS32 + 8], DATA3; int 0x83"}, {"stack of ring 0 not present", "mov dword ptr [TSS32 + 8], MISSING0; int 0x83"}, {"stack of ring 0 of code", "mov dword ptr [TSS32 + 8], CODE32_0; int 0x83"},
		{"stack of ring 0 beyond the GDT", "mov dword ptr [TSS32 + 8], 0xFFF8; int 0x83"}, {"handler of ring 1", "mov word ptr [IDT32 + 8*0x83 + 2], CODE32_1; int 0x83"},
	} {
		list = append(list, Case{Name: "nested, legacy r0: " + c.name, Mode: Legacy, Code: c.code}, Case{Name: "nested, legacy r3: " + c.name, Mode: Legacy, Ring: 3, Code: c.code})
	}
	return list
}
