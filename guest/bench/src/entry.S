/*
 * From the PVH entry (32-bit, no paging) to C at CPL 3 in 64-bit mode, in as few and as plain instructions as will do:
 * a KVM that emulates guest kernel code (kvm_pvm) takes 0.6 us for each and stops at those that its emulator doesn't
 * know. User code runs natively there. IOPL 3 leaves it the ports, and so does the TSS's I/O map for kvm_pvm, which
 * forgets IOPL; the page tables are open to it. So it never has to come back: there are no gates, and a fault ends
 * the machine.
 */
#define SEL_CODE	0x08
#define SEL_DATA	0x10
#define SEL_USER_CODE	0x2b		/* SEL_CODE + 32 and + 40, with RPL 3: where sysexit looks for them */
#define SEL_USER_DATA	0x33
#define SEL_TASK	0x38
#define IOPL_3		0x3002
#define TSS_SIZE	104
#define IO_MAP_SIZE	8193		/* a bit a port, and the byte behind that must be there */

#define PAGE		0xe7		/* present, writable, user, accessed, dirty, 2 MiB */
#define TABLE		0x67
#define EFER		0xc0000080
#define SYSENTER_CS	0x174

	.text
	.code32
	.globl	entry
entry:
	cli
	cld
	movl	%ebx, start_info
	lgdt	gdt_pointer

	/* The first 128 MiB; C maps what else it needs. */
	movl	$pdpt + TABLE, pml4
	movl	$pd + TABLE, pdpt
	movl	$pd, %edi
	movl	$PAGE, %eax
1:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	cmpl	$pd + 64 * 8, %edi
	jb	1b

	movl	%cr4, %eax
	orl	$0x20, %eax			/* PAE */
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$EFER, %ecx
	rdmsr
	orl	$0x100, %eax			/* LME */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000001, %eax		/* PG, PE */
	movl	%eax, %cr0
	ljmp	$SEL_CODE, $1f

	.code64
1:	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$stack_top, %esp
	movw	$TSS_SIZE, tss + 102		/* the I/O map follows: all zeroes, each port allowed */
	movl	$SEL_TASK, %eax
	ltr	%ax

	/* cpuid is trapped or not at CPL 3, as hosts like it: ask here. */
	movl	$0x15, %eax
	xorl	%ecx, %ecx
	cpuid
	movl	%eax, cpuid_15
	movl	%ebx, cpuid_15 + 4
	movl	%ecx, cpuid_15 + 8
	movl	$0x40000000, %eax
	cpuid
	cmpl	$0x40000010, %eax
	jb	1f
	movl	$0x40000010, %eax
	cpuid
	movl	%eax, cpuid_tsc_khz
1:
	xorl	%eax, %eax
	cpuid
	cmpl	$0x15, %eax
	jae	1f
	movl	$0, cpuid_15
1:
	/* The emulator knows no iret to another level but sysexit; AMD's processors know no sysexit in long mode. */
	cmpl	$0x756e6547, %ebx		/* "Genu" of GenuineIntel */
	jne	1f
	movl	$SYSENTER_CS, %ecx
	movl	$SEL_CODE, %eax
	xorl	%edx, %edx
	wrmsr
	pushq	$IOPL_3
	popfq
	movl	$main, %edx
	movl	$stack_top - 8, %ecx		/* as after a call */
	sysexitq

1:	pushq	$SEL_USER_DATA
	pushq	$stack_top - 8
	pushq	$IOPL_3
	pushq	$SEL_USER_CODE
	pushq	$main
	iretq

	.data
	.balign	8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff		/* SEL_CODE: 64-bit */
	.quad	0x00cf93000000ffff		/* SEL_DATA */
	.quad	0x00cffb000000ffff		/* 32-bit user code and data, unused: sysexit's order */
	.quad	0x00cff3000000ffff
	.quad	0x00affb000000ffff		/* SEL_USER_CODE: 64-bit */
	.quad	0x00cff3000000ffff		/* SEL_USER_DATA */
	/* SEL_TASK: an available TSS; its base is below 16 MiB, and the image begins at 1 MiB */
	.short	TSS_SIZE + IO_MAP_SIZE - 1
	.short	tss_low
	.byte	tss_mid, 0x89, 0, 0
	.quad	0
gdt_end:
gdt_pointer:
	.short	gdt_end - gdt - 1
	.long	gdt

	.balign	8
	.globl	start_info, cpuid_15, cpuid_tsc_khz
start_info:	.quad	0
cpuid_15:	.long	0, 0, 0
cpuid_tsc_khz:	.long	0

	.section .tables, "aw", @nobits
	.globl	pml4
pml4:	.skip	4096
pdpt:	.skip	4096
pd:	.skip	4096
	.globl	tss
tss:	.skip	TSS_SIZE + IO_MAP_SIZE

	.section .note.GNU-stack, "", @progbits
