/*
 * The PVH entry: writes down the processor's state as found, before anything of our own is loaded, and probes the
 * segments by using them. Then the way to C, and the ways in from interrupts and from secondary processors.
 *
 * KVM's instruction emulator, which some hosts run all guest kernel code with, knows neither iret nor int in
 * protected mode. So interrupts return by popf and lret.
 */
#include "layout.h"

	.text
	.code32
	.globl	entry, gate, idt, task_descriptor
entry:
	movl	%esp, %ebp			/* written down below, when the mode is known */
	movl	$stack_top, %esp		/* changes no flag */
	pushfl
	cli					/* nothing is ready for an interrupt */
	/* 0x48 is dec %eax here and a prefix without effect in 64-bit mode: a monitor that mistook the protocols. */
	xorl	%eax, %eax
	.byte	0x48
	nop
	testl	%eax, %eax
	jz	in_64bit

	popl	found_eflags
	movl	%ebx, found_ebx
	movl	%ebp, found_esp
	movl	%cr0, %eax
	movl	%eax, found_cr0
	movl	%cr4, %eax
	movl	%eax, found_cr4
	cld

	/* From here a fault in a probe is survived: our GDT for the handler's cs; the loaded segments stay as found. */
	lgdt	gdt_pointer
	movl	$idt + 13 * 8, %edi		/* #GP: ds, es and cs beyond their limits, write-protected */
	movl	$probe_fault, %eax
	call	gate
	movl	$idt + 12 * 8, %edi		/* #SS: the same for ss */
	movl	$probe_fault, %eax
	call	gate
	lidt	idt_pointer

	/* Each sets a bit in found_segments for base 0, for a limit of 4 GiB and for being writable. */
	.macro	probe segment, shift
	movl	$1f, %ebp			/* where probe_fault goes on */
	cmpl	$PROBE_WORD, %\segment:probe_word
	jne	1f
	orl	$PROBE_BASE << \shift, found_segments
	movl	%\segment:0xfffffffc, %eax
	orl	$PROBE_LIMIT << \shift, found_segments
	.ifnc	\segment, cs
	movl	$PROBE_WORD, %\segment:probe_word
	orl	$PROBE_WRITE << \shift, found_segments
	.endif
1:
	.endm
	probe	cs, PROBE_CS
	probe	ds, PROBE_DS
	probe	es, PROBE_ES
	probe	ss, PROBE_SS

	ljmp	$SEL_CODE, $1f
1:	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs

	/* The gates of all the stubs that follow each other below. */
	movl	$idt, %edi
	movl	$stub_0, %eax
1:	call	gate
	addl	$8, %edi
	addl	$STUB_SIZE, %eax
	cmpl	$idt + VECTORS * 8, %edi
	jb	1b

	/* The bss must come zeroed; if it doesn't, that is noted and C gets it zeroed all the same. */
	movl	$bss, %edi
	movl	$bss_words, %ecx
	xorl	%eax, %eax
	repe scasl
	je	1f
	subl	$4, %edi
	movl	%edi, found_dirty
	movl	$bss, %edi
	movl	$bss_words, %ecx
	rep stosl
1:	call	check
2:	cli
	hlt
	jmp	2b

/* Fills the gate at %edi with handler %eax; keeps both. */
gate:
	movw	%ax, (%edi)
	movw	$SEL_CODE, 2(%edi)
	movl	%eax, %ecx
	movw	$0x8e00, %cx			/* present, DPL 0, 32-bit interrupt gate */
	movl	%ecx, 4(%edi)
	ret

/* Both exceptions push an error code. The interrupted cs may be a selector that our GDT doesn't have. */
probe_fault:
	addl	$16, %esp			/* error code, eip, cs, eflags */
	jmp	*%ebp

/* 64-bit mode: only instructions that are the same in both. */
in_64bit:
	movl	$in_64bit_text, %esi
	movw	$COM1, %dx
1:	lodsb
	testb	%al, %al
	jz	2f
	outb	%al, %dx
	jmp	1b
2:	cli
	hlt
	jmp	2b

/*
 * Vectors 0 to VECTORS-1, STUB_SIZE bytes each: those without an error code push a 0 in its place. The frame is
 * struct frame in check.h.
 */
	.set	vector, 0
	.balign	STUB_SIZE
stub_0:
	.rept	VECTORS
	.balign	STUB_SIZE
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
	pushl	$0
	.endif
	pushl	$vector
	jmp	interrupt
	.set	vector, vector + 1
	.endr

	.balign	STUB_SIZE
interrupt:
	pushal
	cld
	pushl	%esp
	call	trap
	addl	$4, %esp
	popal
	addl	$4, %esp			/* vector; the error code's place is used below */
	pushl	%eax
	movl	16(%esp), %eax			/* eflags to the front: error, eip, cs, eflags -> eflags, eip, cs */
	movl	%eax, 4(%esp)
	popl	%eax
	popfl
	lret	$4				/* and the place where eflags was */

/*
 * Secondary processors start here, copied to a page below 1 MiB: real mode, cs = page / 16. They have no stack; each
 * writes its APIC id into the next free place of ap_ids and counts itself.
 */
	.globl	trampoline, trampoline_end
	.code16
trampoline:
	cli
	lgdtl	%cs:trampoline_gdt - trampoline
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$SEL_CODE, $ap_start
	.balign	4
trampoline_gdt:
	.short	gdt_end - gdt - 1
	.long	gdt
trampoline_end:

	.code32
ap_start:
	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	cpuid
	cmpl	$0xb, %eax
	jb	1f
	movl	$0xb, %eax
	xorl	%ecx, %ecx
	cpuid
	testw	%bx, %bx			/* 0: the leaf isn't filled in */
	movl	%edx, %esi			/* 32-bit x2APIC id */
	jnz	2f
1:	movl	$1, %eax
	cpuid
	shrl	$24, %ebx
	movl	%ebx, %esi
2:	movl	$1, %eax
	lock xaddl %eax, ap_next
	cmpl	$MAX_CPUS, %eax
	jae	3f
	movl	%esi, ap_ids(, %eax, 4)
3:	lock incl ap_count			/* last: the boot processor reads ap_ids when it sees this */
4:	cli
	hlt
	jmp	4b

	.section .rodata
in_64bit_text:
	.asciz	"Bail out! entered in 64-bit mode, expected 32-bit protected mode without paging\n"

	.data
	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff		/* SEL_CODE */
	.quad	0x00cf93000000ffff		/* SEL_DATA */
	.quad	0x00cffb000000ffff		/* SEL_USER_CODE */
	.quad	0x00cff3000000ffff		/* SEL_USER_DATA */
task_descriptor:				/* SEL_TASK, filled in by check_task */
	.quad	0
gdt_end:
gdt_pointer:
	.short	gdt_end - gdt - 1
	.long	gdt
idt_pointer:
	.short	VECTORS * 8 - 1
	.long	idt
	.balign	4
probe_word:
	.long	PROBE_WORD

	/* Not in the bss, whose content is a point of its own. */
	.globl	found_ebx, found_esp, found_cr0, found_cr4, found_eflags, found_segments, found_dirty
found_ebx:	.long	0
found_esp:	.long	0
found_cr0:	.long	0
found_cr4:	.long	0
found_eflags:	.long	0
found_segments:	.long	0
found_dirty:	.long	0
	.balign	8
idt:	.fill	VECTORS, 8, 0

	.section .note.GNU-stack, "", @progbits
