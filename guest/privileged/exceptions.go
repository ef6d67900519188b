package privileged

import "fmt"

// placeOf is the mode and the ring of a case.
type placeOf struct {
	mode Mode
	ring int
}

func (p placeOf) String() string {
	return fmt.Sprintf("%s r%d", [...]string{"long", "compat", "legacy"}[p.mode], p.ring)
}

// places are all modes and rings.
var places = []placeOf{{Long, 0}, {Long, 1}, {Long, 2}, {Long, 3}, {Compat, 0}, {Compat, 1}, {Compat, 2}, {Compat, 3}, {Legacy, 0}, {Legacy, 1}, {Legacy, 2}, {Legacy, 3}}

// everywhere makes a case for each place.
func everywhere(name, setup, code string) (list []Case) {
	for _, p := range places {
		list = append(list, Case{Name: fmt.Sprintf("%s, %v", name, p), Mode: p.mode, Ring: p.ring, Setup: setup, Code: code})
	}
	return list
}

// of32 are the cases that are none of 64-bit code.
func of32(all []Case) (list []Case) {
	for _, c := range all {
		if c.Mode != Long {
			list = append(list, c)
		}
	}
	return list
}

// of64 are those that are.
func of64(all []Case) (list []Case) {
	for _, c := range all {
		if c.Mode == Long {
			list = append(list, c)
		}
	}
	return list
}

// exceptionCases raise each exception that an instruction can, everywhere.
func exceptionCases() (list []Case) {
	add := func(c []Case) { list = append(list, c...) }
	for _, in := range []struct{ name, code string }{
		{"#DE by div", "xor ecx, ecx; div ecx"}, {"#DE by div that is too large", "mov edx, 5; mov ecx, 5; div ecx"}, {"#DE by idiv", "xor ecx, ecx; idiv ecx"}, {"#DE by idiv of the least", "mov eax, 0x80000000; cdq; mov ecx, -1; idiv ecx"},
		{"#DE by byte", "mov eax, 0x1000; mov ecx, 1; div cl"}, {"#BP", "int3"}, {"int 3", "int 3"}, {"#UD", "ud2"}, {"#UD by ud1", ".byte 0x0F, 0xB9, 0xC0"}, {"#UD by lock", ".byte 0xF0, 0x90"}, {"#UD by lock of a load", ".byte 0xF0, 0x8B, 0x00"},
		{"#UD by a long one", ".byte 0x0F, 0x0A"}, {"#UD by mov to cs", ".byte 0x8E, 0xC8"}, {"#UD by lea of a register", ".byte 0x8D, 0xC0"}, {"#GP by 16 bytes", ".fill 15, 1, 0x66; nop"},
		{"#DB by icebp", ".byte 0xF1"}, {"#GP by int 0x20", "int 0x20"}, {"int 13", "int 13"}, {"int 0x83", "int 0x83"},
		{"hlt", "hlt"}, {"cli", "cli"}, {"sti", "sti; cli"}, {"clts", "clts"}, {"invd", "invd"}, {"wbinvd", "wbinvd"}, {"rdmsr", "mov ecx, 0xC0000080; rdmsr"}, {"wrmsr", "mov ecx, 0xC0000082; wrmsr"},
		{"rdmsr of none", "mov ecx, 0x12345678; rdmsr"}, {"wrmsr of none", "mov ecx, 0x12345678; wrmsr"}, {"smsw", "smsw eax"}, {"lmsw", "smsw eax; lmsw ax"},
		{"rdpmc", "xor ecx, ecx; rdpmc"}, {"rsm", "rsm"}, {"xgetbv", "xor ecx, ecx; xgetbv"}, {"vmcall", "vmcall"}, {"monitor", "monitor"}, {"mwait", "mwait"}, {"pushf and popf", "pushf; popf"},
		{"in by IOPL", "in al, 0x81"}, {"out by the map", "out 0x80, al"}, {"out by the map, 2 bytes", "out 0x80, ax"}, {"out by the map, 4 bytes", "mov dx, 0x84; out dx, eax"}, {"out across the map", "mov dx, 0x82; out dx, eax"}, {"in at the map's end", "mov dx, 0xFF; in al, dx"},
		{"in beyond the map", "mov dx, 0x118; in al, dx"}, {"in far beyond the map", "mov dx, 0xFFFF; in al, dx"}, {"in of 2 at the map's last byte", "mov dx, 0x107; in ax, dx; xor eax, eax"},
		{"str", "str eax"}, {"sldt", "sldt ax"}, {"lldt", "xor eax, eax; lldt ax"}, {"ltr", "xor eax, eax; ltr ax"}, {"mov from cr0", ".byte 0x0F, 0x20, 0xC0"}, {"mov to cr1", ".byte 0x0F, 0x22, 0xC8"}, {"mov from dr7", ".byte 0x0F, 0x21, 0xF8"},
		{"mov to dr0", "xor eax, eax; .byte 0x0F, 0x23, 0xC0"}, {"cpuid", "mov eax, 0x40000000; cpuid; xor eax, eax; xor ebx, ebx; xor ecx, ecx; xor edx, edx"}, {"verr 0", "xor eax, eax; verr ax"}, {"lar 0", "xor eax, eax; lar eax, ax"}, {"nop of prefixes", ".byte 0x66, 0x2E, 0x3E, 0x90"},
	} {
		for _, c := range everywhere("exception: "+in.name, "", in.code) {
			if in.name == "hlt" && c.Ring == 0 || in.name == "int 13" && c.Mode == Legacy { // it has no end, or no error code where the harness wants one
				continue
			}
			list = append(list, c)
		}
	}
	for _, in := range []struct{ name, code string }{
		{"#OF by into", "mov eax, 0x7FFFFFFF; inc eax; into"}, {"into without overflow", "xor eax, eax; into"}, {"#BR", "push 5; push 1; mov eax, 9; bound eax, [esp]"}, {"bound", "push 5; push 1; mov eax, 5; bound eax, [esp]"},
		{"#DE by aam", "aam 0"}, {"#UD by syscall", "syscall"}, {"sysret", "sysret"}, {"arpl", "mov eax, 0x10; mov ecx, 3; arpl ax, cx"}, {"push and pop of segments", "push ds; pop es; push es; pop ds"}, {"far jump to itself", "mov eax, cs; push eax; lea eax, [esp - 4]; call 1f; 1: pop ecx; add ecx, 9; push ecx; jmp far ptr [esp]; nop; nop"},
		{"salc", "stc; .byte 0xD6"}, {"daa", "mov al, 0x9A; daa"}, {"lds", "push DATA3; push 0; lds eax, [esp]"}, {"les of null", "push 0; push 0; les eax, [esp]"},
	} {
		add(of32(everywhere("exception: "+in.name, "", in.code)))
	}
	for _, in := range []struct{ name, code string }{
		{"#UD by into", ".byte 0xCE"}, {"#UD by pusha", ".byte 0x60"}, {"#UD by push es", ".byte 0x06"}, {"#UD by daa", ".byte 0x27"}, {"#UD by aam", ".byte 0xD4, 10"}, {"#UD by bound", ".byte 0x62, 0x04, 0x24"}, {"#UD by les", ".byte 0xC4, 0x04, 0x24"}, {"#UD by far jump", ".byte 0xEA, 0, 0, 0, 0, 8, 0"},
		{"#UD by 82", ".byte 0x82, 0xC0, 1"}, {"#UD by D6", ".byte 0xD6"}, {"swapgs", "swapgs"}, {"rdtscp", "rdtscp; xor eax, eax; xor edx, edx"}, {"mov to cr8", "xor eax, eax; mov cr8, rax"}, {"wrmsr not canonical", "mov ecx, 0xC0000100; mov edx, 0x8000; wrmsr"},
		{"int1 and icebp with TF", "pushf; or dword ptr [rsp], 0x100; popf; .byte 0xF1; nop"},
	} {
		add(of64(everywhere("exception: "+in.name, "", in.code)))
	}
	return append(list, unitCases()...)
}

// unitCases are exceptions of x87 and SSE, of alignment, and single step.
func unitCases() (list []Case) {
	cr0 := func(set, clear uint32) string {
		return fmt.Sprintf("mov rax, cr0; and eax, ~%#x; or eax, %#x; mov cr0, rax\n", clear, set)
	}
	for _, s := range []struct{ name, setup string }{
		{"TS", cr0(1<<3, 0)}, {"EM", cr0(1<<2, 0)}, {"TS without MP", cr0(1<<3, 1<<1)}, {"no OSFXSR", "mov rax, cr4; btr eax, 9; mov cr4, rax"}, {"no OSXMMEXCPT", "mov rax, cr4; btr eax, 10; mov cr4, rax"}, {"nothing", ""},
	} {
		for _, in := range []struct{ name, code string }{
			{"fnop", "fnop"}, {"fwait", "fwait"}, {"movaps", "movaps xmm0, xmm1"}, {"paddb", "paddb mm0, mm1; emms"}, {"pause", "pause"}, {"fxsave", "sub rsp, 512; fxsave [rsp]"}, {"ldmxcsr", "push 0x1F80; ldmxcsr [rsp]"}, {"sfence", "sfence"}, {"movnti", "movnti [rsp - 8], eax"},
			{"popcnt", "popcnt eax, ecx"}, {"crc32", "crc32 eax, cl"}, {"#XM by divps", "push 0x1D80; ldmxcsr [rsp]; pcmpeqd xmm0, xmm0; pxor xmm1, xmm1; psrld xmm0, 31; cvtdq2ps xmm0, xmm0; divps xmm0, xmm1"}, {"#XM by sqrtsd", "push 0x1F00; ldmxcsr [rsp]; pcmpeqd xmm0, xmm0; psllq xmm0, 63; movsd xmm1, xmm0; pcmpeqd xmm0, xmm0; sqrtsd xmm1, xmm0; pcmpeqd xmm2, xmm2; cvtdq2pd xmm0, xmm2; sqrtsd xmm1, xmm0"},
			{"#MF", "push 0x37B; fldcw [rsp]; fld1; fldz; fdivp; fnstsw ax; fwait; nop"}, {"#MF by the next", "push 0x37E; fldcw [rsp]; fldz; fldz; fdivp; nop; fld1"},
		} {
			for _, ring := range []int{0, 3} {
				list = append(list, Case{Name: fmt.Sprintf("unit with %s: %s r%d", s.name, in.name, ring), Ring: ring, Setup: s.setup, Code: in.code})
			}
		}
	}
	am := cr0(1<<18, 0)
	for _, in := range []struct{ name, code string }{
		{"read of 8", "mov rax, [rsp - 7]"}, {"read of 4", "mov eax, [rsp - 7]"}, {"read of 2", "mov ax, [rsp - 7]"}, {"write", "mov [rsp - 6], rax"}, {"rmw", "add [rsp - 5], rax"}, {"push", "sub rsp, 4; push rax"}, {"movups", "movups xmm0, [rsp - 15]"}, {"movaps", "movaps xmm0, [rsp - 15]"}, {"fld", "fld qword ptr [rsp - 12]"},
		{"aligned", "mov rax, [rsp - 8]"}, {"cmpxchg16b", "cmpxchg16b [rsp - 8]"}, {"call", "sub rsp, 1; call 1f; 1: nop"}, {"iretq", "lea rax, [rip + 1f]; push DATA3; push 0; push 2; push CODE3; push rax; mov rcx, rsp; iretq; 1: nop"}, {"sgdt", "sgdt [rsp - 15]"},
		{"page fault first", "mov rbx, 0x8000004FFF; mov rax, [rbx]"},
	} {
		for _, ring := range []int{0, 3} {
			list = append(list, Case{Name: fmt.Sprintf("alignment: %s r%d", in.name, ring), Ring: ring, Setup: am, Code: in.code, RFLAGS: 1 << 18})
		}
		list = append(list, Case{Name: fmt.Sprintf("alignment without AM: %s r3", in.name), Ring: 3, Code: in.code, RFLAGS: 1 << 18})
	}
	return append(list, debugCases()...)
}

// goOn is an act: the case goes on, whatever it was.
const goOn = "mov eax, 1; ret"

// debugCases are single step and breakpoints.
func debugCases() (list []Case) {
	const tf = "pushf; or dword ptr [rsp], 0x100; popf\n"
	for _, ring := range []int{0, 3} {
		for _, in := range []struct{ name, code string }{
			{"nop", "nop; nop"}, {"push", "push rax; pop rcx"}, {"rep movsb", "mov rsi, rsp; lea rdi, [rsp - 64]; mov ecx, 3; rep movsb"}, {"int3", "int3; nop"}, {"int 0x83", "int 0x83; nop"}, {"mov ss", "mov eax, ss; mov ss, eax; nop; nop"}, {"pop ss", "nop; nop"},
			{"popf that clears it", "pushf; and dword ptr [rsp], ~0x100; popf; nop"}, {"ud2", "ud2"}, {"jmp", "jmp 1f; nop; 1: nop"}, {"syscall", "lea r15, [rip + 1f]; syscall; 1: nop"}, {"pushf", "pushf; pop rax; nop"}, {"page fault", "xor ebx, ebx; mov rbx, 0x8000004000; lea r15, [rip + 1f]; mov rax, [rbx]; 1: nop"}, {"icebp", ".byte 0xF1; nop"},
		} {
			list = append(list, Case{Name: fmt.Sprintf("single step: %s r%d", in.name, ring), Ring: ring, Act: "cmp byte ptr [rdi + 15*8], 6; je 9f; cmp byte ptr [rdi + 15*8], 14; je 9f; " + goOn + "; 9:", Code: tf + in.code})
		}
	}
	dr := func(n int, addr string, control uint32) string {
		return fmt.Sprintf("mov rax, %s; mov dr%d, rax; mov eax, %#x; mov dr7, rax\n", addr, n, control)
	}
	for _, d := range []struct{ name, setup, code string }{
		{"write", dr(0, "USER + CASE_STACK - 64", 0x401|1<<16|3<<18), "mov dword ptr [rsp - 64], 1; nop"}, {"write of a byte within", dr(1, "USER + CASE_STACK - 64", 0x404|1<<20|3<<22), "mov byte ptr [rsp - 62], 1; nop"},
		{"read", dr(0, "USER + CASE_STACK - 64", 0x401|3<<16|3<<18), "mov eax, [rsp - 64]; nop"}, {"read of one that is for writes", dr(0, "USER + CASE_STACK - 64", 0x401|1<<16|3<<18), "mov eax, [rsp - 64]; nop"},
		{"one that is off", dr(0, "USER + CASE_STACK - 64", 0x400|1<<16|3<<18), "mov dword ptr [rsp - 64], 1; nop"}, {"one beside", dr(0, "USER + CASE_STACK - 64", 0x401|1<<16), "mov byte ptr [rsp - 63], 1; nop"}, {"push", dr(3, "USER + CASE_STACK - 8", 0x440|1<<28|2<<30), "push rax; nop"},
	} {
		list = append(list, Case{Name: "breakpoint: " + d.name, Ring: 3, Setup: d.setup, Act: goOn, Code: d.code})
	}
	list = append(list,
		Case{Name: "breakpoint: instruction", Code: "lea rax, [rip + 1f]; mov dr0, rax; mov eax, 0x402; mov dr7, rax; nop; 1: nop; nop", Act: "or dword ptr [r10 + 16], 0x10000; " + goOn},
		Case{Name: "breakpoint: instruction, without RF", Code: "lea rax, [rip + 1f]; mov dr0, rax; mov eax, 0x402; mov dr7, rax; nop; 1: nop; nop", Act: "inc qword ptr [V_SCRATCH]; cmp qword ptr [V_SCRATCH], 3; jae 9f; " + goOn + "; 9:"},
		Case{Name: "breakpoint: general detect", Code: "mov eax, 0x2400; mov dr7, rax; mov rcx, dr0; nop"},
		Case{Name: "breakpoint: dr4 without DE", Code: ".byte 0x0F, 0x21, 0xE0; nop"},
		Case{Name: "breakpoint: dr6 above 32 bits", Code: "mov rax, 0x100000000; mov dr6, rax"}, Case{Name: "breakpoint: dr7 above 32 bits", Code: "mov rax, 0x100000000; mov dr7, rax"},
	)
	return list
}
