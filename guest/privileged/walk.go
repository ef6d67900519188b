package privileged

import "fmt"

// pageSizes are the leaves of each level, with the entries of their walk by level: of the page table, the directory,
// the directory pointers and the PML4. An empty one is above the leaf's.
var pageSizes = []struct {
	name, addr string
	entries    [4]string
}{
	{"4K", "SMALL", [4]string{"TPT", "TPD", "TPDPT", "PML4 + 8"}},
	{"2M", "LARGE", [4]string{1: "TPD + 8", 2: "TPDPT", 3: "PML4 + 8"}},
	{"1G", "HUGE", [4]string{2: "TPDPT + 8", 3: "PML4 + 8"}},
}

// accesses are what is done with the address in rbx, in another kind each.
var accesses = []struct{ name, code string }{
	{"read", "mov rax, [rbx]"},
	{"write", "mov [rbx], rax"},
	{"read and write", "add qword ptr [rbx], 1"},
	{"fetch", "add rbx, 0x100; jmp rbx"},
}

const (
	withSMEP  = "mov rax, cr4; bts eax, 20; mov cr4, rax\n"
	withoutWP = "mov rax, cr0; btr eax, 16; mov cr0, rax\n"
	withoutNX = "mov ecx, 0xC0000080; rdmsr; btr eax, 11; wrmsr\n"
)

// walkCases have each entry of each walk forbid each access.
func walkCases() (list []Case) {
	for _, size := range pageSizes {
		for level, entry := range size.entries {
			if entry == "" {
				continue
			}
			changes := []struct{ name, code string }{
				{"not present", "btr"}, {"read-only", "btr"}, {"supervisor", "btr"}, {"NX", "bts"}, {"bit 46", "bts"}, {"bit 51", "bts"},
			}
			bits := []int{0, 1, 2, 63, 46, 51}
			leaf := level == 0 || size.entries[level-1] == ""
			switch {
			case level == 3:
				changes, bits = append(changes, struct{ name, code string }{"PS", "bts"}), append(bits, 7)
			case leaf && level > 0:
				for _, bit := range []int{13, 20, 29} {
					if bit < 12+9*level {
						changes, bits = append(changes, struct{ name, code string }{fmt.Sprintf("bit %d", bit), "bts"}), append(bits, bit)
					}
				}
			}
			for i, change := range changes {
				setup := fmt.Sprintf("%s qword ptr [%s], %d", change.code, entry, bits[i])
				list = append(list, accessCases(fmt.Sprintf("walk %s: level %d %s", size.name, level+1, change.name), setup, size.addr)...)
			}
		}
		list = append(list, accessCases(fmt.Sprintf("walk %s", size.name), "", size.addr)...)
	}
	return append(list, moreWalks()...)
}

// accessCases are all accesses to an address, of the rings 0 and 3.
func accessCases(name, setup, addr string) (list []Case) {
	for _, a := range accesses {
		for _, ring := range []int{0, 3} {
			list = append(list, Case{Name: fmt.Sprintf("%s, %s r%d", name, a.name, ring), Ring: ring, Setup: setup, Code: fmt.Sprintf("mov rbx, %s\n%s", addr, a.code)})
		}
	}
	list = append(list, Case{Name: name + ", write r0 without WP", Setup: withoutWP + setup, Code: fmt.Sprintf("mov rbx, %s\nmov [rbx], rax", addr)})
	list = append(list, Case{Name: name + ", fetch r0 with SMEP", Setup: withSMEP + setup, Code: fmt.Sprintf("mov rbx, %s + 0x100\njmp rbx", addr)})
	return list
}

// moreWalks are accesses by other instructions, in other modes, and that walk from the processor itself.
func moreWalks() (list []Case) {
	add := func(c ...Case) { list = append(list, c...) }
	for _, ring := range []int{1, 2} {
		for _, a := range accesses {
			add(Case{Name: fmt.Sprintf("walk of a supervisor page, %s r%d", a.name, ring), Ring: ring, Setup: "btr qword ptr [TPT], 2", Code: "mov rbx, SMALL\n" + a.code})
		}
	}
	for _, a := range accesses {
		for _, ring := range []int{0, 3} {
			c := Case{Name: fmt.Sprintf("walk without EFER.NXE, %s r%d", a.name, ring), Ring: ring, Code: "mov rbx, SMALL\n" + a.code}
			c.Setup = withoutNX
			add(c)
			c.Name, c.Setup = c.Name+", bit 63 set", c.Setup+"bts qword ptr [TPT], 63"
			add(c)
			c.Name, c.Setup = fmt.Sprintf("walk without EFER.NXE: not present, %s r%d", a.name, ring), withoutNX+"btr qword ptr [TPT], 0"
			add(c)
		}
	}
	for _, change := range []struct{ name, setup string }{
		{"", ""}, {": not present", "btr qword ptr [TPT], 0"}, {": read-only", "btr qword ptr [TPT], 1"}, {": supervisor", "btr qword ptr [TPT], 2"}, {": NX", "bts qword ptr [TPT], 63"},
		{": reserved", "bts qword ptr [TPT], 50"}, {" 2M: read-only", "btr qword ptr [TPD + 8], 1"}, {" 2M: reserved", "bts qword ptr [TPD + 8], 14"},
	} {
		for _, ring := range []int{0, 3} {
			for _, a := range []struct{ name, code string }{{"read", "mov eax, [ebx]"}, {"write", "mov [ebx], eax"}, {"fetch", "add ebx, 0x100; jmp ebx"}} {
				addr := "LOWSMALL"
				if change.name != "" && change.name[0] == ' ' {
					addr = "LOWLARGE"
				}
				add(Case{Name: fmt.Sprintf("walk compat%s, %s r%d", change.name, a.name, ring), Mode: Compat, Ring: ring, Setup: change.setup, Code: "mov ebx, " + addr + "\n" + a.code})
			}
		}
	}
	for _, a := range []struct{ name, code string }{
		{"xchg", "xchg [rbx], rax"}, {"cmpxchg that fails", "cmpxchg [rbx], rcx"}, {"cmpxchg16b that fails", "cmpxchg16b [rbx]"}, {"cmpxchg8b that fails", "cmpxchg8b [rbx]"},
		{"bt", "bt qword ptr [rbx], 3"}, {"bts", "bts qword ptr [rbx], 3"}, {"test", "test [rbx], rax"}, {"cmp", "cmp [rbx], rax"}, {"shl by 0", "mov ecx, 0; shl qword ptr [rbx], cl"},
		{"setc", "stc; setc [rbx]"}, {"cmov without condition", "clc; cmovc rax, [rbx]"}, {"movups store", "movups [rbx], xmm0"}, {"movups load", "movups xmm0, [rbx]"},
		{"fst", "fld1; fstp qword ptr [rbx]"}, {"fld", "fld qword ptr [rbx]"}, {"fnsave", "fnsave [rbx]"}, {"fxsave", "fxsave [rbx]"}, {"stmxcsr", "stmxcsr [rbx]"}, {"fnstcw", "fnstcw [rbx]"},
		{"prefetch", "prefetcht0 [rbx]"}, {"lea", "lea rax, [rbx]"}, {"nop", "nop qword ptr [rbx]"}, {"clflush", "clflush [rbx]"}, {"sgdt", "sgdt [rbx]"}, {"str", "str word ptr [rbx]"}, {"smsw", "smsw word ptr [rbx]"},
		{"movnti", "movnti [rbx], rax"}, {"inc", "inc byte ptr [rbx]"}, {"not", "not qword ptr [rbx]"}, {"xadd", "xadd [rbx], rax"}, {"push", "push qword ptr [rbx]"}, {"pop", "pop qword ptr [rbx]"},
		{"call", "call qword ptr [rbx]"}, {"lfs", "lfs eax, [rbx]"}, {"mov ds", "mov ds, [rbx]"}, {"verr", "verr word ptr [rbx]"}, {"lar", "lar eax, word ptr [rbx]"}, {"ldmxcsr", "ldmxcsr [rbx]"},
	} {
		for _, change := range []struct{ name, setup string }{{"not present", "btr qword ptr [TPT], 0"}, {"read-only", "btr qword ptr [TPT], 1"}, {"supervisor", "btr qword ptr [TPT], 2"}} {
			add(Case{Name: fmt.Sprintf("walk: %s, %s r3", change.name, a.name), Ring: 3, Setup: change.setup, Code: "mov rbx, SMALL\n" + a.code})
		}
	}
	return append(list, canonicalCases()...)
}

// canonicalCases use addresses that are not canonical.
func canonicalCases() (list []Case) {
	for _, a := range []struct{ name, code string }{
		{"read", "mov rax, [rbx]"}, {"write", "mov [rbx], rax"}, {"rsp", "mov rsp, rbx; mov rax, [rsp]"}, {"rbp", "mov rbp, rbx; mov rax, [rbp]"}, {"rbp by ds", "mov rbp, rbx; mov rax, ds:[rbp]"},
		{"r13", "mov r13, rbx; mov rax, [r13]"}, {"rax and rbp", "mov rbp, rbx; xor eax, eax; mov rax, [rax + rbp]"}, {"push", "mov rsp, rbx; push rax"}, {"pop", "mov rsp, rbx; pop rax"},
		{"call", "mov rsp, rbx; call rax"}, {"ret", "mov rsp, rbx; ret"}, {"leave", "mov rbp, rbx; leave"}, {"iretq", "mov rsp, rbx; iretq"}, {"retfq", "mov rsp, rbx; retfq"}, {"popf", "mov rsp, rbx; popf"},
		{"invlpg", "invlpg [rbx]"}, {"movs", "mov rsi, rbx; movsq"}, {"stos", "mov rdi, rbx; stosq"}, {"fxsave", "fxsave [rbx]"}, {"movups", "movups xmm0, [rbx]"}, {"fs", "mov eax, fs:[rbx]"},
		{"push of memory", "push qword ptr [rbx]"}, {"pop to memory", "pop qword ptr [rbx]"}, {"lgdt", "lgdt [rbx]"}, {"prefetch", "prefetcht0 [rbx]"}, {"lea", "lea rax, [rbx + 1]"},
	} {
		for _, ring := range []int{0, 3} {
			setup := "mov byte ptr [IDT + 12*16 + 4], 1; mov byte ptr [IDT + 13*16 + 4], 2"
			list = append(list, Case{Name: fmt.Sprintf("not canonical: %s r%d", a.name, ring), Ring: ring, Setup: setup, Code: "mov rbx, 0x800000000000\n" + a.code})
		}
	}
	for _, at := range []string{"0x7FFFFFFFFFFC", "0xFFFF7FFFFFFFFFFF", "0xFFFFFFFFFFFFFFFC"} {
		list = append(list, Case{Name: "not canonical: across " + at, Ring: 3, Code: "mov rbx, " + at + "\nmov rax, [rbx]"})
	}
	return list
}
