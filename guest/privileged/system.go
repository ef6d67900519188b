package privileged

import (
	"fmt"
	"strings"
)

// systemCases write control registers and flags, change rings by SYSCALL and SYSRET, and have interrupts come.
func systemCases() (list []Case) {
	add := func(name, setup, code string) {
		list = append(list, Case{Name: "system: " + name, Setup: setup, Code: code})
	}
	for _, v := range []string{"0x80010033", "0xE0010033", "0x80050033", "0x8001003B", "0x80010013", "0x80010023"} {
		add("cr0 "+v, "", "mov rax, "+v+"; mov cr0, rax; mov rbx, cr0")
	}
	list = append(list, reservedCases()...)
	for _, v := range []string{"0x620", "0x6A0", "0x100620", "0x628", "0x624"} {
		add("cr4 "+v, "", "mov rax, "+v+"; mov cr4, rax; mov rbx, cr4")
	}
	for _, v := range []string{"PML4", "PML4 + 0x18", "PML4 + 0xFE7"} {
		add("cr3 "+v, "", "mov rax, "+v+"; mov cr3, rax; mov rbx, cr3")
	}
	for _, v := range []string{"0", "15", "16", "0x100000000"} {
		add("cr8 "+v, "", "mov rax, "+v+"; mov cr8, rax; mov rbx, cr8")
	}
	add("cr2", "", "mov rax, 0x123456789ABCDEF0; mov cr2, rax; mov rbx, cr2")
	for _, v := range []string{"0x901", "0x900", "0x101", "0xD01", "0x501"} {
		add("EFER "+v, "", "mov ecx, 0xC0000080; mov eax, "+v+"; xor edx, edx; wrmsr; rdmsr")
	}
	for _, index := range []string{"0xC0000081", "0xC0000082", "0xC0000083", "0xC0000084", "0xC0000100", "0xC0000101", "0xC0000102", "0x174", "0x175", "0x176", "0x277"} {
		for _, v := range []string{"0x00007FFF12345678", "0x0007040600070406", "0x1234567800007FFF"} {
			add("MSR "+index+" "+v, "", fmt.Sprintf("mov ecx, %s; mov rdx, %s; mov eax, edx; shr rdx, 32; wrmsr; xor eax, eax; xor edx, edx; rdmsr", index, v))
		}
	}
	for _, ring := range []int{0, 1, 3} {
		for iopl := range 4 {
			rflags := uint64(iopl<<12 | 2)
			for _, in := range []struct{ name, code string }{
				{"popfq of all", "mov rax, 0x3FFED7; push rax; popfq; pushfq; pop rbx; push 2; popfq"}, {"popfq of none", "push 0; popfq; pushfq; pop rbx"}, {"popfw of all", "push 0x7ED7; .byte 0x66, 0x9D; add rsp, 6; pushfq; pop rbx; push 2; popfq"}, {"cli", "cli; pushfq; pop rbx"}, {"sti and cli", "sti; pushfq; pop rbx; cli"},
				{"in", "in al, 0x81; xor eax, eax"}, {"outsb", "mov edx, 0x81; mov rsi, rsp; outsb"}, {"insb", "mov edx, 0x81; lea rdi, [rsp - 8]; insb"}, {"rep outsb to 0x80", "mov edx, 0x80; mov ecx, 2; mov rsi, rsp; rep outsb"},
				{"iretq of all", "lea rax, [rip + 1f]; push DATA" + fmt.Sprint(ring) + "; push rsp; push 0x3FFED7; push CODE" + fmt.Sprint(ring) + "; push rax; iretq; 1: pushfq; pop rbx; push 2; popfq"}, {"pushf of AC and ID", "push 0x240002; popfq; pushfq; pop rbx; push 2; popfq"},
			} {
				list = append(list, Case{Name: fmt.Sprintf("flags: %s with IOPL %d r%d", in.name, iopl, ring), Ring: ring, RFLAGS: rflags, Code: in.code})
			}
		}
	}
	return append(append(list, syscallCases()...), interruptFlagCases()...)
}

// reservedCases set what control registers must not have. QEMU sets it all the same, and crashes or hangs, so that these are what
// the manual says: volume 2, MOV to control registers; volume 4, IA32_EFER.
func reservedCases() (list []Case) {
	for _, c := range []struct{ name, code string }{
		{"cr0 with PG without PE", "mov rax, 0x80010032; mov cr0, rax"}, {"cr0 without PG", "mov rax, 0x10033; mov cr0, rax"}, {"cr0 with NW without CD", "mov rax, 0xA0010033; mov cr0, rax"}, {"cr0 above 32 bits", "mov rax, 0x180010033; mov cr0, rax"},
		{"cr4 without PAE", "mov rax, 0x600; mov cr4, rax"}, {"cr4 bit 31", "mov rax, 0x80000620; mov cr4, rax"}, {"cr4 with VME, which is not offered", "mov rax, 0x621; mov cr4, rax"}, {"cr4 bit 15", "mov rax, 0x8620; mov cr4, rax"}, {"cr4 above 32 bits", "mov rax, 0x100000620; mov cr4, rax"}, {"cr4 with SMAP", "mov rax, 0x200620; mov cr4, rax"}, {"cr4 with PCIDE", "mov rax, 0x20620; mov cr4, rax"},
		{"cr3 bit 63", "mov rax, 0x8000000000400000; mov cr3, rax"}, {"cr3 bit 50", "mov rax, 0x4000000400000; mov cr3, rax"},
		{"EFER without LME", "mov ecx, 0xC0000080; mov eax, 0x801; xor edx, edx; wrmsr"}, {"EFER bit 1", "mov ecx, 0xC0000080; mov eax, 0x903; xor edx, edx; wrmsr"}, {"EFER bit 12", "mov ecx, 0xC0000080; mov eax, 0x1901; xor edx, edx; wrmsr"}, {"EFER above 32 bits", "mov ecx, 0xC0000080; mov eax, 0x901; mov edx, 1; wrmsr"},
	} {
		list = append(list, Case{Name: "reserved: " + c.name, Code: c.code, Want: "#GP(0x0)"})
	}
	return append(list, Case{Name: "reserved: cr0 bit 28", Code: "mov rax, 0x90010033; mov cr0, rax", Want: "end"})
}

// syscallCases are SYSCALL and SYSRET.
func syscallCases() (list []Case) {
	const noSCE = "mov ecx, 0xC0000080; rdmsr; btr eax, 0; wrmsr\n"
	for _, ring := range []int{0, 1, 2, 3} {
		list = append(list, Case{Name: fmt.Sprintf("syscall r%d", ring), Ring: ring, RFLAGS: 0xCD7 &^ 0x100, Code: "syscall"}, Case{Name: fmt.Sprintf("syscall without SCE r%d", ring), Ring: ring, Setup: noSCE, Code: "syscall"}, Case{Name: fmt.Sprintf("sysret without SCE r%d", ring), Ring: ring, Setup: noSCE, Code: "sysretq"},
			Case{Name: fmt.Sprintf("sysenter with null CS r%d", ring), Ring: ring, Code: "sysenter"}, Case{Name: fmt.Sprintf("sysexit with null CS r%d", ring), Ring: ring, Code: ".byte 0x0F, 0x35"})
		const to = "lea rcx, [rip + 1f]; add rcx, USER - ALIAS; mov r11d, 0x246; mov rsp, CASE_STACK + USER\n"
		for _, in := range []string{"sysretq", "sysretl"} {
			list = append(list, Case{Name: fmt.Sprintf("%s r%d", in, ring), Ring: ring, Code: to + strings.Replace(strings.Replace(in, "sysretl", ".byte 0x0F, 0x07", 1), "sysretq", ".byte 0x48, 0x0F, 0x07", 1) + "; 1: nop"},
				Case{Name: fmt.Sprintf("%s with all flags r%d", in, ring), Ring: ring, Code: to + "mov r11, 0xFFFFFFFFFFFFFEFF\n" + strings.Replace(strings.Replace(in, "sysretl", ".byte 0x0F, 0x07", 1), "sysretq", ".byte 0x48, 0x0F, 0x07", 1) + "; 1: nop"})
		}
		list = append(list, Case{Name: fmt.Sprintf("sysretq that is not canonical r%d", ring), Ring: ring, Code: to + "mov rcx, 0x800000000000; .byte 0x48, 0x0F, 0x07"}, Case{Name: fmt.Sprintf("syscall to what is not canonical r%d", ring), Ring: ring, Code: "syscall", Setup: ""})
	}
	const set = "mov ecx, 0x174; xor edx, edx; mov eax, CODE0; wrmsr; inc ecx; mov eax, CASE_STACK - 512; wrmsr; inc ecx; mov eax, offset syscall_stub; wrmsr\n"
	for _, p := range places {
		list = append(list, Case{Name: fmt.Sprintf("sysenter, %v", p), Mode: p.mode, Ring: p.ring, Setup: set, RFLAGS: 0x246, Code: "sysenter"})
		if p.mode == Long {
			list = append(list, Case{Name: fmt.Sprintf("sysexit to 64 bits, %v", p), Ring: p.ring, Setup: set, Code: "lea rdx, [rip + 1f]; add rdx, USER - ALIAS; mov rcx, CASE_STACK + USER; .byte 0x48, 0x0F, 0x35; 1: nop"}, Case{Name: fmt.Sprintf("sysexit to 32 bits, %v", p), Ring: p.ring, Setup: set, Code: "lea rdx, [rip + 1f]; add rdx, USER - ALIAS; mov rcx, CASE_STACK + USER; .byte 0x0F, 0x35; 1: nop"},
				Case{Name: fmt.Sprintf("sysexit to what is not canonical, %v", p), Ring: p.ring, Setup: set, Code: "mov rdx, 0x800000000000; mov rcx, CASE_STACK + USER; .byte 0x48, 0x0F, 0x35"})
		} else {
			list = append(list, Case{Name: fmt.Sprintf("sysexit, %v", p), Mode: p.mode, Ring: p.ring, Setup: set, Code: "mov edx, offset 1f + USER * " + fmt.Sprint(map[Mode]int{Compat: 1}[p.mode]) + "; mov ecx, CASE_STACK + ALIAS; .byte 0x0F, 0x35; 1: nop"})
		}
	}
	return list
}

// interruptFlagCases have an interrupt or an NMI of the local APIC wait for an instruction.
func interruptFlagCases() (list []Case) {
	const (
		enable = "mov rbx, APIC; mov dword ptr [rbx + 0xF0], 0x1FF; mov dword ptr [rbx + 0x310], 0\n"
		self   = "mov dword ptr [rbx + 0x300], 0x44040\n" // vector 0x40 to itself
		nmi    = "mov dword ptr [rbx + 0x300], 0x44400\n"
		end    = "mov rax, APIC; mov dword ptr [rax + 0xB0], 0; mov eax, 1; ret"
		wait   = "1: cmp qword ptr [V_EVENTS], 0; je 1b"
		off    = "\nmov rbx, APIC; mov dword ptr [rbx + 0xF0], 0xFF"
	)
	for _, in := range []struct{ name, code string }{
		{"after sti and one more", self + "sti; nop; nop; cli"}, {"not in sti and cli", self + "sti; cli; nop; sti; sti; nop; cli"}, {"after mov ss", self + "sti; mov eax, ss; mov ss, eax; nop; cli"},
		{"after popf", self + "pushf; or dword ptr [rsp], 0x200; popf; nop; cli"}, {"after iretq", self + "lea rax, [rip + 1f]; push DATA0; push rsp; push 0x202; push CODE0; push rax; iretq; 1: nop; cli"}, {"in hlt", self + "sti; hlt; cli"}, {"masked by cr8", self + "mov eax, 4; mov cr8, rax; sti; nop; nop; xor eax, eax; mov cr8, rax; nop; cli"},
		{"never with IF clear", self + "nop; nop; nop"}, {"in ring 3", self + "push DATA3; mov rax, CASE_STACK + USER - 256; push rax; push 0x202; push CODE3; lea rax, [rip + 1f]; add rax, USER; push rax; iretq; 1: nop; nop; int 0x80"},
		{"NMI", nmi + wait}, {"NMI with IF", "sti\n" + nmi + wait + "; cli"}, {"NMI on IST 5", "mov byte ptr [IDT + 16*2 + 4], 5\n" + nmi + wait}, {"NMI without a gate", "mov byte ptr [IDT + 16*2 + 5], 0x0E; mov byte ptr [IDT + 16*11 + 4], 2\n" + nmi + wait}, {"with the wrong gate", self + "mov byte ptr [IDT + 16*0x40 + 5], 0x0E; mov byte ptr [IDT + 16*8 + 4], 1; sti; nop; nop; cli"},
		{"on IST 3", self + "mov byte ptr [IDT + 16*0x40 + 4], 3; sti; nop; nop; cli"}, {"before an exception", self + "sti; ud2"},
	} {
		list = append(list, Case{Name: "interrupt: " + in.name, Act: "cmp byte ptr [rdi + 15*8], 0x40; je 8f; cmp byte ptr [rdi + 15*8], 2; jne 9f; 8: " + end + "; 9: mov rax, APIC; mov dword ptr [rax + 0xB0], 0; mov dword ptr [rax + 0xF0], 0xFF", Code: enable + in.code + off})
	}
	return list
}
