/*
 * The harness of the privileged cases: it enters 64-bit mode, restores the tables ("the arena") for each case, enters the
 * case at its ring and mode, records each exception, and after the case what has changed in the tables.
 *
 * build.go puts constants before this file (addresses, selectors, the bases of control registers) and the cases after it.
 * Everything lies at one address, which is entered by the PVH protocol, and is mapped twice: at its physical address for the
 * rings 0 to 2, and at that plus USER for ring 3. Variables at VARS outlive a reset of the machine, which a triple fault is.
 */
	.intel_syntax noprefix
	.text
	.globl	start
	.code32
start:
	cli
	mov	esp, BOOT_STACK
	mov	edi, offset main
	jmp	to_long

/* LSTAR and the call gate lead here: the registers are recorded, and the case ends. */
	.org	SYSCALL_STUB
	.code64
syscall_stub:
	int	0x81
	int	0x80

/* One stub for each vector; tables.go counts on their addresses. */
	.org	STUBS
	.code64
	.set	v, 0
	.rept	256
	.p2align 4
	push	v
	jmp	common64
	.set	v, v + 1
	.endr

/* Those of protected mode. The processor pushes an error code with the vectors 8, 10 to 14 and 17, and with no other. */
	.org	STUBS32
	.code32
	.set	v, 0
	.rept	256
	.p2align 4
	.if v != 8 && (v < 10 || v > 14) && v != 17
	push	0
	.endif
	push	v
	jmp	common32
	.set	v, v + 1
	.endr
	.org	STUBS32 + 0x1000

/* to_long enters 64-bit mode from protected mode without paging, at edi. */
to_long:
	mov	eax, CR4_BASE
	mov	cr4, eax
	mov	eax, offset boot_pml4
	mov	cr3, eax
	mov	ecx, 0xC0000080
	mov	eax, EFER_BASE
	xor	edx, edx
	wrmsr
	mov	eax, CR0_BASE
	mov	cr0, eax
	lgdt	[boot_gdtr]
	.byte	0xEA
	.long	1f
	.short	8
	.code64
1:	mov	eax, 0x10
	mov	ss, eax
	mov	ds, eax
	mov	es, eax
	mov	rsp, BOOT_STACK
	jmp	rdi

/* main goes on where it was: with the first case, or after one that has ended with a reset. */
main:
	cmp	qword ptr [V_STATE], 1
	je	after_shutdown
	mov	rax, [V_FIRST]
	mov	[V_INDEX], rax
	mov	qword ptr [V_LOG], LOG
	mov	qword ptr [V_STATE], 1
	jmp	next_case

after_shutdown:
	mov	rdi, [V_LOG]
	mov	qword ptr [rdi], RECORD_SHUTDOWN
	add	rdi, 8
	mov	[V_LOG], rdi
	jmp	finish

next_case:
	mov	rsp, BOOT_STACK
	mov	rax, [V_INDEX]
	cmp	rax, [V_LAST]
	jae	all_done
	mov	rbp, rax
	shl	rbp, 6
	add	rbp, offset cases
	mov	rdi, [V_LOG]
	mov	rcx, [rbp + CASE_FLAGS]
	test	rcx, [V_SKIP]
	jz	1f
	inc	qword ptr [V_INDEX]
	jmp	next_case
1:	mov	qword ptr [rdi], RECORD_CASE
	mov	[rdi + 8], rax
	add	rdi, 16
	mov	[V_LOG], rdi
	mov	rax, [rbp + CASE_ACT]
	mov	[V_ACT], rax
	mov	qword ptr [V_EVENTS], 0
	mov	qword ptr [V_SCRATCH], 0

	/* the arena and the processor as each case finds them */
	mov	esi, offset arena
	mov	edi, ARENA
	mov	ecx, ARENA_SIZE / 8
	cld
	rep movsq
	xor	eax, eax
	xor	edx, edx
	mov	ecx, 0x174
	wrmsr
	inc	ecx
	wrmsr
	inc	ecx
	wrmsr
	mov	ecx, 0x277
	mov	eax, 0x00070406
	mov	edx, eax
	wrmsr
	push	rbp
	call	[rbp + CASE_SETUP]
	pop	rbp
	lgdt	[arena_gdtr]
	lidt	[arena_idtr]
	mov	eax, PML4
	mov	cr3, rax
	mov	eax, DATA3
	mov	ds, eax
	mov	es, eax
	mov	fs, eax
	mov	gs, eax
	mov	eax, LDTSEL
	lldt	ax
	mov	ecx, 0xC0000100
	mov	eax, USER + D1
	xor	edx, edx
	wrmsr
	inc	ecx
	mov	eax, USER + D2
	wrmsr
	inc	ecx
	mov	eax, USER + D3
	wrmsr
	mov	ecx, 0xC0000081
	xor	eax, eax
	mov	edx, STAR_HIGH
	wrmsr
	inc	ecx
	mov	eax, offset syscall_stub
	xor	edx, edx
	wrmsr
	inc	ecx
	wrmsr
	inc	ecx
	mov	eax, 0x47700
	wrmsr
	test	qword ptr [rbp + CASE_FLAGS], FLAG_LEGACY
	jnz	enter_legacy
	mov	eax, TSSSEL
	ltr	ax
	push	[rbp + CASE_SS]
	push	[rbp + CASE_RSP]
	push	[rbp + CASE_RFLAGS]
	push	[rbp + CASE_CS]
	push	[rbp + CASE_ENTRY]
	call	patterns
enter_case:
	iretq

/* patterns gives each register a value of its own. */
patterns:
	mov	rax, 0x1111111180000001
	mov	rcx, 0x2222222280000002
	mov	rdx, 0x3333333380000003
	mov	rbx, 0x4444444480000004
	mov	rbp, 0x5555555580000005
	mov	rsi, 0x6666666680000006
	mov	rdi, 0x7777777780000007
	mov	r8, 0x0888888880000008
	mov	r9, 0x0999999980000009
	mov	r10, 0x0AAAAAAA8000000A
	mov	r11, 0x0BBBBBBB8000000B
	mov	r12, 0x0CCCCCCC8000000C
	mov	r13, 0x0DDDDDDD8000000D
	mov	r14, 0x0EEEEEEE8000000E
	xor	r15d, r15d
	ret

/*
 * common64 records an exception. In 64-bit mode the processor aligns the stack to 16 bytes before it pushes five quadwords,
 * or six with an error code: the pointer tells which it was. r9 is the distance of the mapping that this runs in.
 */
common64:
	push	r15
	push	r14
	push	r13
	push	r12
	push	r11
	push	r10
	push	r9
	push	r8
	push	rdi
	push	rsi
	push	rbp
	push	rbx
	push	rdx
	push	rcx
	push	rax
	pushfq
	pop	rbx			/* the handler's flags */
	cld
	mov	rsi, rsp		/* registers: rax, rcx, rdx, rbx, rbp, rsi, rdi, r8 to r15, the vector */
	lea	r9, [rip + common64]
	mov	eax, offset common64
	sub	r9, rax
	mov	rdi, [r9 + V_LOG]
	lea	r10, [rsi + 16 * 8]	/* the frame */
	mov	eax, [rsi + 15 * 8]
	movzx	eax, al
	shl	eax, 8
	mov	al, RECORD_EVENT
	mov	qword ptr [rdi + 8], 0
	test	r10b, 8
	jnz	1f
	or	eax, 1 << 16
	mov	rcx, [r10]
	mov	[rdi + 8], rcx
	add	r10, 8
1:	mov	[rdi], rax
	mov	[rdi + 4 * 8], rbx
	mov	[rdi + 7 * 8], r10
	mov	eax, cs
	mov	[rdi + 5 * 8], ax
	mov	eax, ss
	mov	[rdi + 5 * 8 + 2], ax
	mov	eax, ds
	mov	[rdi + 5 * 8 + 4], ax
	mov	eax, es
	mov	[rdi + 5 * 8 + 6], ax
	mov	eax, fs
	mov	[rdi + 6 * 8], ax
	mov	eax, gs
	mov	[rdi + 6 * 8 + 2], ax
	str	eax
	mov	[rdi + 6 * 8 + 4], ax
	sldt	eax
	mov	[rdi + 6 * 8 + 6], ax
	xor	eax, eax
	mov	[rdi + 2 * 8], rax
	mov	[rdi + 3 * 8], rax
	mov	[rdi + 28 * 8], rax
	mov	[rdi + 29 * 8], rax
	mov	[rdi + 30 * 8], rax
	mov	[rdi + 31 * 8], rax
	mov	rdx, rdi
	add	rdi, 8 * 8
	mov	r8, rsi
	mov	rsi, r10
	mov	ecx, 5
	rep movsq
	mov	rsi, r8
	mov	ecx, 15
	rep movsq
	add	rdi, 4 * 8
	mov	[r9 + V_LOG], rdi
	mov	eax, cs
	test	al, 3
	jnz	2f			/* what follows is for ring 0 */
	mov	rdi, rdx
	mov	rax, cr2
	mov	[rdi + 2 * 8], rax
	cmp	byte ptr [rdi + 1], 1
	jne	1f
	mov	rax, dr6
	mov	[rdi + 3 * 8], rax
	mov	eax, 0xFFFF0FF0
	mov	dr6, rax
1:	mov	rax, cr0
	mov	[rdi + 30 * 8], rax
	mov	rax, cr4
	mov	[rdi + 31 * 8], rax
	mov	ecx, 0xC0000100
	rdmsr
	mov	[rdi + 28 * 8], eax
	mov	[rdi + 28 * 8 + 4], edx
	inc	ecx
	rdmsr
	mov	[rdi + 29 * 8], eax
	mov	[rdi + 29 * 8 + 4], edx
2:	inc	qword ptr [r9 + V_EVENTS]
	cmp	qword ptr [r9 + V_EVENTS], MOST_EVENTS
	ja	case_ends
	mov	rdi, r8			/* registers; r10 is the frame */
	mov	al, [rdi + 15 * 8]
	cmp	al, 0x80
	je	case_ends
	cmp	al, 0x82
	je	case_ends
	cmp	al, 0x81
	je	go_on
	cmp	qword ptr [r9 + V_ACT], 0
	je	1f
	mov	rax, [r9 + V_ACT]
	add	rax, r9
	call	rax			/* with rdi and r10: 0 ends the case */
	test	eax, eax
	jz	case_ends
	jmp	go_on
1:	mov	rax, [rdi + 14 * 8]	/* r15: where to go on */
	test	rax, rax
	jz	case_ends
	mov	qword ptr [rdi + 14 * 8], 0
	mov	[r10], rax
go_on:
	mov	[rdi + 15 * 8], r10	/* in place of the vector: where the frame is */
	pop	rax
	pop	rcx
	pop	rdx
	pop	rbx
	pop	rbp
	pop	rsi
	pop	rdi
	pop	r8
	pop	r9
	pop	r10
	pop	r11
	pop	r12
	pop	r13
	pop	r14
	pop	r15
	pop	rsp
resume_case:
	iretq

case_ends:
	mov	eax, cs
	test	al, 3
	jz	finish
	xor	edx, edx		/* it was an address of the log */
	int	0x82			/* comes back here, in ring 0 */

/* finish has the processor as at the start, and records what the case has changed. */
finish:
	cli
	mov	eax, CR0_BASE
	mov	cr0, rax
	mov	eax, CR4_BASE
	mov	cr4, rax
	mov	eax, offset boot_pml4
	mov	cr3, rax
	mov	rsp, BOOT_STACK
	lgdt	[boot_gdtr]
	push	8
	push	offset 1f
	retfq
1:	mov	eax, 0x10
	mov	ss, eax
	mov	ds, eax
	mov	es, eax
	xor	eax, eax
	lldt	ax
	mov	cr8, rax
	mov	dr7, rax
	mov	dr0, rax
	mov	dr1, rax
	mov	dr2, rax
	mov	dr3, rax
	mov	eax, 0xFFFF0FF0
	mov	dr6, rax
	xor	eax, eax
	mov	cr2, rax
	mov	ecx, 0xC0000080
	mov	eax, EFER_BASE
	xor	edx, edx
	wrmsr
	fninit
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	pxor	xmm\n, xmm\n
	.endr
	push	0x1F80
	ldmxcsr	[rsp]
	push	2
	popfq
	cld
	mov	esi, offset arena
	mov	edi, ARENA
	mov	rbx, [V_LOG]
	mov	ecx, ARENA_COMPARED / 8
1:	repe cmpsq
	je	2f
	mov	qword ptr [rbx], RECORD_MEMORY
	lea	rax, [rdi - 8]
	mov	[rbx + 8], rax
	mov	rax, [rdi - 8]
	mov	[rbx + 16], rax
	add	rbx, 24
	test	ecx, ecx
	jnz	1b
2:	mov	qword ptr [rbx], RECORD_END
	add	rbx, 8
	mov	[V_LOG], rbx
	inc	qword ptr [V_INDEX]
	jmp	next_case

all_done:
	mov	qword ptr [V_STATE], 2
	xor	eax, eax
	out	END_PORT, al
1:	hlt
	jmp	1b

/* enter_legacy leaves 64-bit mode, paging and all, for a case of protected mode. rbp is the case. */
enter_legacy:
	mov	eax, offset legacy32
	push	CODE32_0
	push	rax
	retfq
	.code32
legacy32:
	mov	eax, DATA0
	mov	ss, eax
	mov	eax, CR0_BASE & 0x7FFFFFFF
	mov	cr0, eax
	mov	ecx, 0xC0000080
	xor	eax, eax
	xor	edx, edx
	wrmsr
	mov	eax, CR4_BASE & ~0x20
	mov	cr4, eax
	lidt	[arena_idtr32]
	mov	eax, TSS32SEL
	ltr	ax
	mov	esp, [ebp + CASE_RSP]
	mov	eax, [ebp + CASE_SS]
	test	al, 3
	jz	1f
	mov	ebx, esp
	mov	esp, BOOT_STACK
	push	eax
	push	ebx
1:	push	[ebp + CASE_RFLAGS]
	push	[ebp + CASE_CS]
	push	[ebp + CASE_ENTRY]
	mov	eax, 0x80000001
	mov	ecx, 0x80000002
	mov	edx, 0x80000003
	mov	ebx, 0x80000004
	mov	esi, 0x80000006
	mov	edi, 0x80000007
	xor	ebp, ebp
enter_case32:
	iretd

/* common32 records an exception of protected mode. ebp is where to go on. */
common32:
	pushad
	pushfd
	pop	ebx
	cld
	push	es
	push	ds
	mov	eax, ds
	mov	ecx, es
	mov	ebp, DATA3
	mov	ds, ebp
	mov	es, ebp
	mov	edi, [V_LOG]
	mov	[edi + 5 * 8 + 4], ax
	mov	[edi + 5 * 8 + 6], cx
	lea	esi, [esp + 8]		/* edi, esi, ebp, esp, ebx, edx, ecx, eax, the vector, the code, the frame */
	movzx	eax, byte ptr [esi + 8 * 4]
	shl	eax, 8
	mov	al, RECORD_EVENT
	or	eax, 1 << 17
	mov	[edi], eax
	mov	eax, [esi + 9 * 4]
	mov	[edi + 8], eax
	mov	[edi + 4 * 8], ebx
	mov	eax, cs
	mov	[edi + 5 * 8], ax
	mov	eax, ss
	mov	[edi + 5 * 8 + 2], ax
	mov	eax, fs
	mov	[edi + 6 * 8], ax
	mov	eax, gs
	mov	[edi + 6 * 8 + 2], ax
	str	eax
	mov	[edi + 6 * 8 + 4], ax
	sldt	eax
	mov	[edi + 6 * 8 + 6], ax
	lea	eax, [esi + 10 * 4]
	mov	[edi + 7 * 8], eax
	mov	ebp, cs
	mov	ecx, 5
	mov	eax, [esi + 11 * 4]
	xor	eax, ebp
	test	al, 3
	jnz	1f
	mov	ecx, 3
1:	mov	eax, [esi + ecx * 4 + 9 * 4]
	mov	[edi + ecx * 8 + 7 * 8], eax
	loop	1b
	mov	ecx, 8
1:	mov	eax, [esi + ecx * 4 - 4]
	mov	[edi + ecx * 8 + 12 * 8], eax
	loop	1b
	add	edi, 32 * 8
	mov	[V_LOG], edi
	inc	dword ptr [V_EVENTS]
	cmp	dword ptr [V_EVENTS], MOST_EVENTS
	ja	case_ends32
	mov	al, [esi + 8 * 4]
	cmp	al, 0x80
	je	case_ends32
	cmp	al, 0x82
	je	case_ends32
	cmp	al, 0x81
	je	1f
	cmp	al, 2
	je	1f
	mov	eax, [esi + 2 * 4]
	test	eax, eax
	jz	case_ends32
	mov	[esi + 10 * 4], eax
	mov	dword ptr [esi + 2 * 4], 0
1:	pop	ds
	pop	es
	popad
	add	esp, 8
resume_case32:
	iretd

case_ends32:
	mov	eax, cs
	test	al, 3
	jz	finish32
	xor	edi, edi
	int	0x82
finish32:
	mov	eax, DATA0
	mov	ss, eax
	mov	ds, eax
	mov	es, eax
	mov	edi, offset finish
	jmp	to_long
	.code64

	.p2align 3
boot_gdt:
	.quad	0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
boot_gdtr:
	.short	23
	.quad	boot_gdt
arena_gdtr:
	.short	GDT_SIZE - 1
	.quad	GDT
arena_idtr:
	.short	0xFFF
	.quad	IDT
arena_idtr32:
	.short	0x7FF
	.quad	IDT32

	.p2align 12
boot_pml4:
	.quad	boot_pdpt + 0x23
	.fill	511, 8, 0
boot_pdpt:
	.quad	0xE3, 0x400000E3, 0x800000E3, 0xC00000E3
	.fill	508, 8, 0
