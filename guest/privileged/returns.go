package privileged

import (
	"fmt"
	"regexp"
	"slices"
)

// targets are the selectors that the cases try one after the other, with others that lead nowhere.
func targets() (list []string) {
	for _, e := range gdtEntries() {
		list = append(list, e.name)
	}
	for _, e := range ldtEntries() {
		list = append(list, e.name)
	}
	return append(list, "0", "0xFFF8", "0x7C")
}

// returnCases are IRET, RETF, far jumps and far calls to every kind of segment.
func returnCases() (list []Case) {
	for _, ring := range []int{0, 3} {
		for _, to := range targets() {
			for rpl := range 4 {
				if rpl != 0 && rpl != 3 && ring == 3 {
					continue
				}
				list = append(list,
					Case{Name: fmt.Sprintf("iretq r%d to %s with RPL %d", ring, to, rpl), Ring: ring, Code: fmt.Sprintf("push DATA%d; mov rax, CASE_STACK + ALIAS - 128; push rax; push 0x46; push (%s) &~3 | %d; lea rax, [rip + 1f]; push rax; iretq; 1: nop", rpl, to, rpl)},
					Case{Name: fmt.Sprintf("retfq r%d to %s with RPL %d", ring, to, rpl), Ring: ring, Code: fmt.Sprintf("push DATA%d; mov rax, CASE_STACK + ALIAS - 128; push rax; push (%s) &~3 | %d; lea rax, [rip + 1f]; push rax; retfq; 1: nop", rpl, to, rpl)},
				)
			}
			list = append(list,
				Case{Name: fmt.Sprintf("iretq r%d to ring 3 with stack %s", ring, to), Ring: ring, Code: fmt.Sprintf("push (%s) | 3; mov rax, CASE_STACK + USER - 128; push rax; push 0x46; push CODE3; lea rax, [rip + 1f]; add rax, USER - ALIAS; push rax; iretq; 1: nop", to)},
				Case{Name: fmt.Sprintf("jmp far r%d to %s", ring, to), Ring: ring, Code: fmt.Sprintf("lea rax, [rip + 1f]; sub rsp, 16; mov [rsp], eax; mov word ptr [rsp + 4], %s; jmp fword ptr [rsp]; 1: nop", to)},
				Case{Name: fmt.Sprintf("call far r%d to %s", ring, to), Ring: ring, Code: fmt.Sprintf("lea rax, [rip + 1f]; sub rsp, 16; mov [rsp], eax; mov word ptr [rsp + 4], %s; call fword ptr [rsp]; 1: nop", to)},
				Case{Name: fmt.Sprintf("compat jmp far r%d to %s", ring, to), Mode: Compat, Ring: ring, Code: fmt.Sprintf(".byte 0xEA; .long 1f + ALIAS; .short %s; 1: nop", to)},
				Case{Name: fmt.Sprintf("compat call far r%d to %s", ring, to), Mode: Compat, Ring: ring, Code: fmt.Sprintf(".byte 0x9A; .long 1f + ALIAS; .short %s; 1: nop", to)},
				Case{Name: fmt.Sprintf("legacy jmp far r%d to %s", ring, to), Mode: Legacy, Ring: ring, Code: fmt.Sprintf(".byte 0xEA; .long 1f; .short %s; 1: nop", to)},
				Case{Name: fmt.Sprintf("legacy iretd r%d to %s", ring, to), Mode: Legacy, Ring: ring, Code: fmt.Sprintf("push DATA3; push CASE_STACK - 128; push 0x46; push %s; push offset 1f; iretd; 1: nop", to)},
				Case{Name: fmt.Sprintf("compat iretd r%d to %s", ring, to), Mode: Compat, Ring: ring, Code: fmt.Sprintf("push DATA3; push CASE_STACK + USER - 128; push 0x46; push %s; push offset 1f + ALIAS; iretd; 1: nop", to)},
				Case{Name: fmt.Sprintf("compat retf r%d to %s", ring, to), Mode: Compat, Ring: ring, Code: fmt.Sprintf("push DATA3; push CASE_STACK + USER - 128; push %s; push offset 1f + ALIAS; retf; 1: nop", to)},
			)
		}
	}
	// Without paging there is no memory at the base of CODELIMITED3, and the harness has no tasks and no code of 16 bits to go to.
	unusable := regexp.MustCompile(`^legacy .* to (CODELIMITED3|CALLGATE|TSSSEL|TSSOTHER|TSS32SEL|TSSSHORT|TSSNOMAP|TASKGATE)`)
	list = slices.DeleteFunc(list, func(c Case) bool { return unusable.MatchString(c.Name) })
	return append(list, moreReturns()...)
}

// moreReturns are IRET with other frames.
func moreReturns() (list []Case) {
	frame := func(ss, rsp, flags, cs, rip string) string {
		return fmt.Sprintf("push %s; mov rax, %s; push rax; mov rax, %s; push rax; push %s; lea rax, [rip + 1f]\n%s\npush rax; iretq; 1: nop", ss, rsp, flags, cs, rip)
	}
	const stack, there, user = "CASE_STACK + USER - 128", "", "add rax, USER"
	for _, in := range []struct{ name, code string }{
		{"to a RIP that is not canonical r3", frame("DATA3", stack, "2", "CODE3", "mov rax, 0x800000000000")}, {"to a RIP that is not canonical r0", frame("DATA0", "CASE_STACK", "2", "CODE0", "mov rax, 0x800000000000")}, {"to a RSP that is not canonical", frame("DATA3", "0x900000000000", "2", "CODE3", user)},
		{"to null SS of ring 0", frame("0", "CASE_STACK", "2", "CODE0", there)}, {"to null SS of ring 1", frame("1", "CASE_STACK", "2", "CODE1", there)}, {"to null SS of ring 2 with RPL 1", frame("1", "CASE_STACK", "2", "CODE2", there)}, {"to null SS of ring 3", frame("3", stack, "2", "CODE3", user)},
		{"to null SS, compat ring 1", frame("1", "CASE_STACK", "2", "CODE32_1", there)}, {"with NT", "pushf; or dword ptr [rsp], 0x4000; popf\n" + frame("DATA0", "CASE_STACK", "2", "CODE0", there)},
		{"with all flags", frame("DATA0", "CASE_STACK", "0x3F7ED7", "CODE0", there)}, {"with VM", frame("DATA3", stack, "0x20002", "CODE3", user)}, {"with IOPL 3 and IF to ring 3", frame("DATA3", stack, "0x3202", "CODE3", user)},
		{"with TF", frame("DATA3", stack, "0x102", "CODE3", user)}, {"with RF and AC to ring 3", frame("DATA3", stack, "0x50002", "CODE3", user)}, {"with flags above 32 bits", frame("DATA3", stack, "0xFFFFFFFF00000002", "CODE3", user)},
		{"with FS and GS of ring 0", "mov eax, DATA0; mov ds, eax; mov es, eax; mov fs, eax; mov gs, eax\n" + frame("DATA3", stack, "2", "CODE3", user)}, {"with conforming code in DS", "mov eax, CONFORM0; mov ds, eax; mov eax, DATA1; mov es, eax\n" + frame("DATA3", stack, "2", "CODE3", user)},
		{"with DS null and RPL", "mov eax, 3; mov ds, eax; mov eax, 1; mov es, eax\n" + frame("DATA3", stack, "2", "CODE3", user)}, {"of 32 bits", "sub rsp, 64; mov rbx, rsp; lea rax, [rip + 1f]; mov [rsp], eax; mov dword ptr [rsp + 4], CODE0; mov dword ptr [rsp + 8], 0x46; mov [rsp + 12], ebx; mov dword ptr [rsp + 16], DATA0; iretd; 1: nop"},
		{"of 16 bits", "sub rsp, 64; mov word ptr [rsp], 0x1234; mov word ptr [rsp + 2], CODE0; mov word ptr [rsp + 4], 0x46; mov word ptr [rsp + 6], 0x8000; mov word ptr [rsp + 8], DATA0; .byte 0x66, 0xCF; nop"},
		{"of 16 bits to 16-bit code", "sub rsp, 64; mov word ptr [rsp], 0x1234; mov word ptr [rsp + 2], CODE16_0; mov word ptr [rsp + 4], 0x46; mov word ptr [rsp + 6], 0x8000; mov word ptr [rsp + 8], DATA0; .byte 0x66, 0xCF; nop"},
		{"to the upper half of 32-bit code", frame("DATA3", stack, "2", "CODE32_3", "mov rbx, 0x100000000; add rax, USER; add rax, rbx")}, {"GDT not present", "mov qword ptr [TPT], GDT + 6; push GDT_SIZE; mov rax, SMALL; mov [rsp + 2], rax; lgdt [rsp]; add rsp, 8\n" + frame("DATA0", "CASE_STACK", "2", "CODE0", there)},
	} {
		list = append(list, Case{Name: "iretq " + in.name, Setup: "mov word ptr [0x1234], 0x80CD", Code: in.code})
	}
	for _, in := range []struct{ name, code string }{
		{"n", "mov rbx, rsp; push CODE0; lea rax, [rip + 1f]; push rax; retfq 16; 1: nop"}, {"n to ring 3", "push DATA3; mov rax, CASE_STACK + USER - 128; push rax; push 0; push 0; push CODE3; lea rax, [rip + 1f]; add rax, USER; push rax; retfq 16; 1: nop"},
		{"of 32 bits", "sub rsp, 64; lea rax, [rip + 1f]; mov [rsp], eax; mov dword ptr [rsp + 4], CODE0; retf; 1: nop"}, {"of 32 bits to ring 3", "sub rsp, 64; lea rax, [rip + 1f]; add rax, USER; mov [rsp], eax; mov dword ptr [rsp + 4], CODE3; mov dword ptr [rsp + 8], CASE_STACK + USER - 64; mov dword ptr [rsp + 12], DATA3; retf; 1: nop"},
		{"to a RIP that is not canonical", "push CODE0; mov rax, 0x800000000000; push rax; retfq"}, {"to ring 3 with DS of ring 0", "mov eax, DATA0; mov ds, eax; push DATA3; mov rax, CASE_STACK + USER; push rax; push CODE3; lea rax, [rip + 1f]; add rax, USER; push rax; retfq; 1: nop"},
	} {
		list = append(list, Case{Name: "retf " + in.name, Code: in.code})
	}
	return list
}
