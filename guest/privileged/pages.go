package privileged

import "fmt"

// presentAgain is an act: the second page of the small ones is there again, and the case goes on.
const presentAgain = "mov qword ptr [TPT + 8], D1 + 7; mov rax, cr3; mov cr3, rax; mov eax, 1; ret"

// pageCases are instructions that reach beyond a page to one that is not there, and go on or begin anew when it is; and
// what makes the processor forget a translation.
func pageCases() (list []Case) {
	gone := "btr qword ptr [TPT + 8], 0\n"
	for _, in := range []struct{ name, code string }{
		{"read of 2", "mov ax, [rbx + 0xFFF]"}, {"read of 4", "mov eax, [rbx + 0xFFE]"}, {"read of 8", "mov rax, [rbx + 0xFFC]"}, {"write of 8", "mov [rbx + 0xFFC], rax"}, {"write of 2", "mov [rbx + 0xFFF], ax"},
		{"add", "add [rbx + 0xFFD], rax"}, {"xchg", "xchg [rbx + 0xFFE], rax"}, {"xadd", "xadd [rbx + 0xFFB], rax"}, {"cmpxchg", "mov rax, [rbx + 8]; cmpxchg [rbx + 0xFFC], rcx"},
		{"cmpxchg on the second", "cmpxchg [rbx + 0x1000], rcx"}, {"cmpxchg16b on the second", "cmpxchg16b [rbx + 0x1000]"},
		{"movups load", "movups xmm0, [rbx + 0xFF8]"}, {"movups store", "movups [rbx + 0xFF8], xmm0"}, {"fstp tbyte", "fldpi; fstp tbyte ptr [rbx + 0xFFA]"}, {"fld tbyte", "fld tbyte ptr [rbx + 0xFFA]; fstp st(0)"},

		{"push", "lea rsp, [rbx + 0x1008]; push rax; push rcx; push rdx"}, {"push across", "lea rsp, [rbx + 0x1004]; push rax"}, {"pop", "lea rsp, [rbx + 0xFF8]; pop rax; pop rcx"}, {"pop across", "lea rsp, [rbx + 0xFFC]; pop rax"},
		{"push of memory", "push qword ptr [rbx + 0xFFC]"}, {"pop to memory", "pop qword ptr [rbx + 0x1000]"}, {"pop to memory by rsp", "lea rsp, [rbx + 0xFF0]; pop qword ptr [rsp + 8]"},
		{"pushf", "lea rsp, [rbx + 0x1004]; pushf"}, {"popf", "lea rsp, [rbx + 0xFFC]; mov qword ptr [rbx + 0xFF8], 0; popf"},
		{"call", "lea rsp, [rbx + 0x1008]; call 1f; 1: nop"}, {"call of memory", "lea rax, [rip + 1f]; lea rsp, [rbx + 0x1008]; mov [rbx + 8], rax; call qword ptr [rbx + 8]; 1: nop"},
		{"enter", "lea rsp, [rbx + 0x1008]; enter 16, 0"}, {"enter with one level", "lea rsp, [rbx + 0x1008]; enter 16, 1"}, {"enter with two levels", "lea rsp, [rbx + 0x1010]; lea rbp, [rbx + 0x800]; enter 16, 2"},
		{"leave", "lea rbp, [rbx + 0x1000]; leave"}, {"rol", "rol dword ptr [rbx + 0x1000], 3"}, {"bts far", "mov eax, 0x8000; bts [rbx], eax"}, {"shld", "shld [rbx + 0xFFE], eax, 1"},
		{"rep movsb to", "mov rdi, rbx; add rdi, 0xFF8; mov rsi, rbx; mov ecx, 16; rep movsb"}, {"rep movsb from", "mov rsi, rbx; add rsi, 0xFF8; mov rdi, rbx; mov ecx, 16; rep movsb"},
		{"rep movsq across", "mov rsi, rbx; add rsi, 0xFF4; mov rdi, rbx; mov ecx, 4; rep movsq"}, {"rep movsq to across", "mov rdi, rbx; add rdi, 0xFF4; mov rsi, rbx; mov ecx, 4; rep movsq"},
		{"rep movsb backwards", "std; mov rsi, rbx; add rsi, 0x107; mov rdi, rbx; add rdi, 0x1007; mov ecx, 16; rep movsb"}, {"rep stosb", "mov rdi, rbx; add rdi, 0xFF8; mov ecx, 16; rep stosb"},
		{"rep stosq across", "mov rdi, rbx; add rdi, 0xFEC; mov ecx, 4; rep stosq"}, {"rep lodsq", "mov rsi, rbx; add rsi, 0xFF0; mov ecx, 4; rep lodsq"}, {"repe cmpsb", "mov rsi, rbx; add rsi, 0xFF8; mov rdi, rsi; mov ecx, 16; repe cmpsb"},
		{"repne scasb", "mov rdi, rbx; add rdi, 0xFF8; mov al, 1; mov ecx, 16; repne scasb"}, {"cmpsq", "mov rsi, rbx; mov rdi, rbx; add rdi, 0x1000; cmpsq"}, {"movsq", "mov rsi, rbx; mov rdi, rbx; add rdi, 0x1000; movsq"},
		{"iretq", "lea rsp, [rbx + 0x1000]; iretq"}, {"retfq", "lea rsp, [rbx + 0x1000]; retfq"}, {"lfs", "lfs eax, [rbx + 0xFFC]"}, {"xlat", "mov al, 0; add rbx, 0x1000; xlatb"}, {"lahf", "lahf; sahf; mov [rbx + 0x1000], ax"},
		{"ret", "lea rsp, [rbx + 0x1000]; ret"}, {"ret n", "lea rsp, [rbx + 0x1000]; ret 8"}, {"jmp of memory", "jmp qword ptr [rbx + 0x1000]"}, {"movbe", "movbe rax, [rbx + 0xFFC]"},
		{"adc with carry", "stc; adc [rbx + 0xFFC], rax"}, {"sbb with carry", "stc; sbb rax, [rbx + 0xFFC]"}, {"div by memory", "xor edx, edx; mov eax, 100; div dword ptr [rbx + 0x1000]"}, {"mul by memory", "mul qword ptr [rbx + 0xFFC]"},
		{"fetch across", "mov dword ptr [rbx + 0xFFC], 0xB8909090; lea rax, [rbx + 0xFFC]; jmp rax"}, {"fetch after", "mov dword ptr [rbx + 0xFFC], 0x90909090; lea rax, [rbx + 0xFFC]; jmp rax"},
	} {
		list = append(list, Case{Name: "second page: " + in.name, Ring: 3, Setup: gone + "mov word ptr [D1], 0x80CD", Act: "cmp byte ptr [rdi + 15*8], 14; jne 9f; " + presentAgain + "; 9:", Code: "mov rbx, SMALL\n" + in.code})
	}
	for _, change := range []struct{ name, setup string }{
		{"first of two", "btr qword ptr [TPT], 0"}, {"both", "btr qword ptr [TPT], 0; btr qword ptr [TPT + 8], 0"}, {"second read-only", "btr qword ptr [TPT + 8], 1"}, {"second supervisor", "btr qword ptr [TPT + 8], 2"},
		{"second reserved", "bts qword ptr [TPT + 8], 48"}, {"first read-only, second gone", "btr qword ptr [TPT], 1; btr qword ptr [TPT + 8], 0"}, {"first gone, second read-only", "btr qword ptr [TPT], 0; btr qword ptr [TPT + 8], 1"},
	} {
		for _, a := range []struct{ name, code string }{{"read", "mov rax, [rbx]"}, {"write", "mov [rbx], rax"}, {"add", "add [rbx], rax"}, {"movups", "movups [rbx], xmm0"}} {
			for _, ring := range []int{0, 3} {
				list = append(list, Case{Name: fmt.Sprintf("two pages, %s: %s r%d", change.name, a.name, ring), Ring: ring, Setup: change.setup, Code: "mov rbx, SMALL + 0xFFC\n" + a.code})
			}
		}
	}
	for _, in := range []struct{ name, code string }{
		{"pusha", "mov esp, LOWSMALL + 0x1010; pusha"}, {"popa", "mov esp, LOWSMALL + 0xFF0; popa"}, {"push", "mov esp, LOWSMALL + 0x1002; push eax"}, {"call", "mov esp, LOWSMALL + 0x1004; call 1f; 1: nop"}, {"enter", "mov esp, LOWSMALL + 0x1004; enter 8, 0"},
		{"leave", "mov ebp, LOWSMALL + 0x1000; leave"}, {"rep movsb", "mov edi, LOWSMALL + 0xFF8; mov esi, LOWSMALL; mov ecx, 16; rep movsb"}, {"push es", "mov esp, LOWSMALL + 0x1004; push es"}, {"pop es", "mov esp, LOWSMALL + 0x1000; mov dword ptr [D1 + ALIAS], DATA3; pop es"},
		{"les", "les eax, [LOWSMALL + 0xFFC]"}, {"bound", "mov eax, 5; bound eax, [LOWSMALL + 0xFFC]"}, {"iretd", "mov esp, LOWSMALL + 0x1000; iretd"}, {"pushf", "mov esp, LOWSMALL + 0x1002; pushf"}, {"arpl", "mov eax, 3; arpl [LOWSMALL + 0x1000], ax"},
	} {
		list = append(list, Case{Name: "second page, compat: " + in.name, Mode: Compat, Ring: 3, Setup: gone, Act: "cmp byte ptr [rdi + 15*8], 14; jne 9f; " + presentAgain + "; 9:", Code: in.code})
	}
	return append(list, flushCases()...)
}

// flushCases change a translation that has been used.
func flushCases() (list []Case) {
	const again = "; mov rax, cr3; mov cr3, rax"
	for _, size := range []struct{ name, addr, other string }{
		{"4K", "SMALL", "mov qword ptr [TPT], D3 + 7"}, {"4K global", "SMALL", "mov qword ptr [TPT], D3 + 0x107"}, {"2M", "LARGE", "mov qword ptr [TPD + 8], 0x600087"}, {"table", "SMALL", "mov qword ptr [D3], D2 + 7; mov qword ptr [TPD], D3 + 7"},
		{"1G", "HUGE", "mov qword ptr [TPD + 16], ARENA + 0x87; mov qword ptr [TPDPT + 8], TPD + 7"}, {"4K gone", "SMALL", "btr qword ptr [TPT], 0"}, {"4K read-only", "SMALL", "btr qword ptr [TPT], 1"}, {"gone at the top", "SMALL", "btr qword ptr [PML4 + 8], 0"},
	} {
		for _, flush := range []struct{ name, code string }{
			{"INVLPG", "invlpg [rbx]"}, {"INVLPG within the page", "invlpg [rbx + 0x7F0]"}, {"CR3", again[2:]}, {"CR4.PGE", "mov rax, cr4; bts eax, 7; mov cr4, rax; btr eax, 7; mov cr4, rax"}, {"CR0.PG", ""},
		} {
			if flush.code == "" || size.name == "4K global" && flush.name == "CR3" {
				continue
			}
			list = append(list, Case{Name: fmt.Sprintf("flush: %s by %s", size.name, flush.name), Code: fmt.Sprintf("mov rbx, %s\nmov rcx, [rbx]\nmov [rbx + 8], rcx\n%s\n%s\nmov rdx, [rbx]\nmov [rbx + 16], rdx", size.addr, size.other, flush.code)})
		}
	}
	list = append(list,
		Case{Name: "flush: none needed for a page that was not there", Setup: "btr qword ptr [TPT], 0", Code: "mov rbx, SMALL\nlea r15, [rip + 1f]\nmov rax, [rbx]\n1: bts qword ptr [TPT], 0\nmov rax, [rbx]\nmov [rbx + 8], rax"},
		Case{Name: "flush: none needed for write access after a fault", Setup: "btr qword ptr [TPT], 1", Code: "mov rbx, SMALL\nmov rax, [rbx]\nlea r15, [rip + 1f]\nmov [rbx], rax\n1: bts qword ptr [TPT], 1\nmov [rbx], rax"},
		Case{Name: "flush: dirty bit of a page that was read", Code: "mov rbx, SMALL\nmov rax, [rbx]\nint 0x81\nmov rcx, [TPT]\nmov [rbx], rax\nmov rdx, [TPT]"},
		Case{Name: "flush: accessed bit that was cleared", Code: "mov rbx, SMALL\nmov [rbx], rax\nand qword ptr [TPT], ~0x60\ninvlpg [rbx]\nmov rax, [rbx]\nmov rcx, [TPT]"},
		Case{Name: "flush: WP set and cleared", Setup: "btr qword ptr [TPT], 1", Code: "mov rbx, SMALL\nmov rax, cr0\nbtr eax, 16\nmov cr0, rax\nmov [rbx], rax\nbts eax, 16\nmov cr0, rax\nmov [rbx + 8], rax"},
		Case{Name: "flush: SMEP set", Code: "mov rbx, SMALL\nmov byte ptr [rbx], 0xC3\ncall rbx\nmov rax, cr4\nbts eax, 20\nmov cr4, rax\ncall rbx"},
		Case{Name: "flush: NXE set", Setup: withoutNX, Code: "mov rbx, SMALL\nmov byte ptr [rbx], 0xC3\ncall rbx\nmov ecx, 0xC0000080\nrdmsr\nbts eax, 11\nwrmsr\nbts qword ptr [TPT], 63\ninvlpg [rbx]\ncall rbx"},
	)
	for _, ring := range []int{0, 3} {
		list = append(list, Case{Name: fmt.Sprintf("flush: code that is written r%d", ring), Ring: ring, Code: "mov rbx, SMALL\nmov dword ptr [rbx], 0xC3C0FF\nxor eax, eax\ncall rbx\nmov word ptr [rbx], 0xC8FF\ncall rbx\ncall rbx"})
	}
	return list
}
