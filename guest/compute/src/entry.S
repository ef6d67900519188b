/*
 * From the PVH entry (32-bit, no paging) to C at CPL 0 in 64-bit mode, with SSE. The first 32 MiB are mapped by pages of
 * 4 KiB, so that the computations use as many translations as a program does. There are no gates: a fault ends the machine.
 */
#define SEL_CODE	0x08
#define SEL_DATA	0x10
#define TABLES		16			/* of 2 MiB each */

#define PAGE		0x63			/* present, writable, accessed, dirty */
#define EFER		0xc0000080

	.text
	.code32
	.globl	entry
entry:
	cli
	cld
	movl	%ebx, start_info
	lgdt	gdt_pointer

	movl	$pdpt + PAGE, pml4
	movl	$pd + PAGE, pdpt
	movl	$pt + PAGE, %eax
	movl	$pd, %edi
1:	movl	%eax, (%edi)
	addl	$4096, %eax
	addl	$8, %edi
	cmpl	$pd + TABLES * 8, %edi
	jb	1b
	movl	$PAGE, %eax
	movl	$pt, %edi
1:	movl	%eax, (%edi)
	addl	$4096, %eax
	addl	$8, %edi
	cmpl	$pt + TABLES * 4096, %edi
	jb	1b

	movl	%cr4, %eax
	orl	$0x620, %eax			/* PAE, OSFXSR, OSXMMEXCPT */
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$EFER, %ecx
	rdmsr
	orl	$0x100, %eax			/* LME */
	wrmsr
	movl	%cr0, %eax
	andl	$~0xc, %eax			/* TS, EM */
	orl	$0x80000003, %eax		/* PG, MP, PE */
	movl	%eax, %cr0
	ljmp	$SEL_CODE, $1f

	.code64
1:	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$stack_top, %esp
	call	main
	ud2

	.data
	.balign	8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff		/* SEL_CODE: 64-bit */
	.quad	0x00cf93000000ffff		/* SEL_DATA */
gdt_end:
gdt_pointer:
	.short	gdt_end - gdt - 1
	.long	gdt

	.balign	8
	.globl	start_info
start_info:	.quad	0

	.section .tables, "aw", @nobits
pml4:	.skip	4096
pdpt:	.skip	4096
pd:	.skip	4096
pt:	.skip	TABLES * 4096

	.section .note.GNU-stack, "", @progbits
