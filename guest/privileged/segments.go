package privileged

import (
	"fmt"
	"strings"
)

// try is code after whose exception the case goes on: the place is in r15, or for 32-bit code in ebp.
func try(mode Mode, code string) string {
	if mode == Legacy {
		return fmt.Sprintf("mov ebp, offset 8f\n%s\n8:\n", code)
	}
	return fmt.Sprintf("lea r15, [rip + 8f]\n%s\n8:\n", code)
}

// segmentCases load segment registers, and ask for the rights and limits of descriptors.
func segmentCases() (list []Case) {
	for _, mode := range []Mode{Long, Legacy} {
		for _, ring := range []int{0, 1, 3} {
			for rpl := range 4 {
				for _, s := range []string{"ds", "es", "fs", "gs", "ss"} {
					var code strings.Builder
					for _, to := range targets() {
						if s == "ss" && to == "0" {
							continue // where QEMU takes it, the ring is another one for the rest
						}
						code.WriteString(try(mode, fmt.Sprintf("mov eax, (%s) &~3 | %d; mov %s, eax; int 0x81", to, rpl, s)))
					}
					list = append(list, Case{Name: fmt.Sprintf("load %s with RPL %d, %v", s, rpl, placeOf{mode, ring}), Mode: mode, Ring: ring, Code: code.String()})
				}
				list = append(list, Case{Name: fmt.Sprintf("load null ss with RPL %d, %v", rpl, placeOf{mode, ring}), Mode: mode, Ring: ring, Code: fmt.Sprintf("mov eax, %d; mov ss, eax", rpl)})
				for _, in := range []string{"lar ebx, ax", "lsl ebx, ax", "verr ax", "verw ax", "lar bx, ax", "lsl bx, ax"} {
					var code strings.Builder
					for _, to := range targets() {
						code.WriteString(try(mode, fmt.Sprintf("mov ebx, 0x12345678; mov eax, (%s) &~3 | %d; %s; int 0x81", to, rpl, in)))
					}
					list = append(list, Case{Name: fmt.Sprintf("%s with RPL %d, %v", in, rpl, placeOf{mode, ring}), Mode: mode, Ring: ring, Code: code.String()})
				}
			}
		}
		for _, in := range []string{"lldt ax", "ltr ax"} {
			for rpl := range 4 {
				for _, to := range targets() {
					list = append(list, Case{Name: fmt.Sprintf("%s of %s with RPL %d, %v", in, to, rpl, placeOf{mode, 0}), Mode: mode, Code: fmt.Sprintf("mov eax, (%s) &~3 | %d; %s; sldt ebx; str ecx", to, rpl, in)})
				}
			}
		}
	}
	return append(list, limitCases()...)
}

// limitCases use segments with limits and rights, in 32-bit code; and descriptors' accessed bits.
func limitCases() (list []Case) {
	for _, p := range []placeOf{{Compat, 3}, {Compat, 0}, {Legacy, 0}, {Legacy, 3}} {
		kinds := []string{"LIMITED3", "DOWN3", "DOWN16_3", "READONLY3", "FRESH3", "ONLYRUN32_3", "CODE32_3", "CODEFRESH32_3", "LDATA3", "0"}
		switch {
		case p.ring == 0:
			kinds = []string{"LIMITED0", "DOWN0", "0"}
		case p.mode == Legacy:
			kinds = []string{"LIMITED3P", "DOWN3P", "READONLY3", "ONLYRUN32_3", "CODE32_3", "0"}
		}
		for _, kind := range kinds {
			for _, at := range []string{"0", "0x7FC", "0x7FD", "0x7FF", "0x800", "0x801", "0xFFF", "0xFFFC", "0xFFFD", "0x10000", "0xFFFFFFFD"} {
				flat := !strings.Contains(kind, "LIMITED") && !strings.Contains(kind, "DOWN") && kind != "0"
				if flat && at != "0x801" {
					continue // the base is 0: one address will do
				}
				if flat {
					at = "D0 + ALIAS"
				}
				for _, in := range []struct{ name, code string }{{"read of 4", "mov eax, %s:[ebx]"}, {"read of 1", "mov al, %s:[ebx]"}, {"write of 4", "mov %s:[ebx], eax"}, {"add", "add dword ptr %s:[ebx], 1"}, {"movups", "movups xmm0, %s:[ebx]"}, {"push of memory", "push dword ptr %s:[ebx]"}} {
					if in.name != "read of 4" && in.name != "write of 4" && at != "0x7FD" && !flat && at != "0x800" {
						continue
					}
					list = append(list, Case{Name: fmt.Sprintf("limit: %s by %s at %s, %v", in.name, kind, at, p), Mode: p.mode, Ring: p.ring, Code: fmt.Sprintf("mov eax, %s; mov es, eax; mov ebx, %s\n"+in.code, kind, at, "es")})
				}
			}
		}
		if p.ring == 0 {
			continue // the handlers would be on the stack with the limit
		}
		stack := "LIMITED3"
		if p.mode == Legacy {
			stack = "LIMITED3P"
		}
		for _, in := range []struct{ name, code string }{
			{"push", "mov esp, 0x800; push eax; mov esp, 2; push eax"}, {"push at the limit", "mov esp, 0x803; push eax"}, {"pop", "mov esp, 0x7FC; pop eax; pop eax"}, {"call", "mov esp, 2; call 1f; 1: nop"}, {"pusha", "mov esp, 16; pusha"}, {"by ebp", "mov ebp, 0x7FE; mov eax, [ebp]"},
			{"leave", "mov ebp, 0x7FE; leave"}, {"ret", "mov esp, 0x7FE; ret; 1: nop"}, {"iretd", "mov esp, 0x7F6; iretd; 1: nop"}, {"int 0x83", "mov esp, 8; int 0x83"}, {"enter", "mov esp, 0x100; enter 0x200, 0"},
		} {
			list = append(list, Case{Name: fmt.Sprintf("limit of the stack: %s, %v", in.name, p), Mode: p.mode, Ring: p.ring, Setup: stackSetup(p, in.name), Code: fmt.Sprintf("mov eax, %s; mov ss, eax\n%s", stack, in.code)})
		}
	}
	for _, in := range []struct{ name, code string }{
		{"jmp", "mov eax, 0x10002000 + 0x1000; jmp eax"}, {"call", "mov eax, 0x10003000; call eax"}, {"far jump", ".byte 0xEA; .long 0x10003000; .short CODELIMITED3"}, {"ret", "push 0x10003000; ret"},
	} {
		list = append(list, Case{Name: "limit of code: " + in.name, Mode: Compat, Ring: 3, Code: ".byte 0xEA; .long 1f; .short CODELIMITED3\n1:\n" + in.code})
	}
	for _, ring := range []int{0, 3} {
		for _, in := range []struct{ name, code string }{{"limits in 64-bit mode", "mov eax, LIMITED3; mov ds, eax; mov es, eax; mov eax, [rsp]; mov rbx, D1 + ALIAS; mov rax, [rbx]"}, {"base of fs", "mov eax, LIMITED3; mov fs, eax; mov rbx, 0x900; mov rax, fs:[rbx]"}, {"null ds in 64-bit mode", "xor eax, eax; mov ds, eax; mov rbx, D1 + ALIAS; mov rax, [rbx]"}, {"null fs", "xor eax, eax; mov fs, eax; mov gs, eax; mov rbx, D1 + ALIAS; mov rax, fs:[rbx]"}} {
			list = append(list, Case{Name: fmt.Sprintf("segment: %s r%d", in.name, ring), Ring: ring, Code: in.code})
		}
	}
	for _, in := range []struct{ name, setup string }{{"GDT not present", "btr qword ptr [TPT], 0"}, {"GDT read-only", "btr qword ptr [TPT], 1"}, {"GDT of the user", ""}, {"GDT of the system", "btr qword ptr [TPT], 2"}} {
		for _, code := range []string{"mov eax, FRESH3; mov ds, eax", "mov eax, DATA3; mov ds, eax", "mov eax, FRESH3; lar ebx, eax", "mov eax, DATA3; verw ax"} {
			setup := "mov qword ptr [TPT], GDT + 7\n" + in.setup
			lgdt := "mov rax, SMALL; push rax; sub rsp, 2; mov word ptr [rsp], GDT_SIZE - 1; lgdt [rsp]\n"
			list = append(list, Case{Name: "segment: " + in.name + ", " + code + " r0", Setup: setup, Code: lgdt + code}, Case{Name: "segment: " + in.name + ", " + code + " r3", Setup: strings.Replace(setup, "GDT + 7\nbtr qword ptr [TPT], 0", "GDT + 7\n", 1), Code: lgdt + toRing3(code)})
		}
	}
	for _, limit := range []string{"0x26", "0x27", "0x2F", "0"} {
		list = append(list, Case{Name: "segment: GDT limit " + limit, Code: "push GDT; sub rsp, 2; mov word ptr [rsp], " + limit + "; lgdt [rsp]; mov eax, DATA3; mov ds, eax; lar ebx, ax; lsl ecx, ax; verr ax"})
	}
	return list
}

// stackSetup writes what RET and IRET find on the limited stack.
func stackSetup(p placeOf, name string) string {
	switch name {
	case "ret":
		return "mov dword ptr [D0 + 0x7FE], offset 1f + ALIAS"
	case "iretd":
		return fmt.Sprintf("mov dword ptr [D0 + 0x7F6], offset 1f + ALIAS; mov dword ptr [D0 + 0x7FA], CODE32_%d; mov dword ptr [D0 + 0x7FE], 2", p.ring)
	}
	return ""
}
