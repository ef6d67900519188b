/*
 * The task register can't be read, only used: a processor at CPL 3 takes from the TSS the stack for CPL 0 and, with
 * IOPL 0, the permission for each port. So a TSS is written where the ABI puts it, at physical address 0, and used.
 *
 * u32 task_probe(void): the TASK_ bits of what was seen. Where tr is bad the machine ends in a triple fault.
 */
#include "layout.h"

#define ESP0		4			/* offsets in the TSS */
#define SS0		8
#define IOMAP		0x66			/* where the port bitmap begins, here at 0 */

/* The bitmap's bit of this port is in the last two bytes within limit 0x67, and that of the next in one behind it. */
#define PORT_INSIDE	(0x66 * 8)
#define PORT_OUTSIDE	(0x67 * 8)

	.text
	.code32
	.globl	task_probe
task_probe:
	pushal
	pushl	ESP0
	pushl	SS0
	pushl	IOMAP
	pushl	idt + 13 * 8
	pushl	idt + 13 * 8 + 4
	movl	%esp, task_esp
	movl	$task_stack_top, ESP0
	movl	$SEL_DATA, SS0
	movw	$0, IOMAP
	movl	$idt + 13 * 8, %edi
	movl	$task_gp, %eax
	call	gate
	movl	$idt + VECTOR_TASK * 8, %edi
	movl	$task_int, %eax
	call	gate
	orw	$0x6000, 4(%edi)		/* DPL 3 */

	xorl	%ebx, %ebx
	pushl	$SEL_USER_DATA
	pushl	$0				/* never used: no push at CPL 3 */
	pushl	$2				/* eflags: IOPL 0, no interrupts */
	pushl	$SEL_USER_CODE
	pushl	$1f
	iret
1:	movw	$PORT_INSIDE, %dx
	orl	$TASK_INSIDE, %ebx
	inb	%dx, %al			/* task_gp takes the bit back */
	movw	$PORT_OUTSIDE, %dx
	inb	%dx, %al			/* task_gp sets a bit */
	int	$VECTOR_TASK

task_gp:
	cmpw	$PORT_INSIDE, %dx
	je	1f
	orl	$TASK_OUTSIDE, %ebx
	jmp	2f
1:	andl	$~TASK_INSIDE, %ebx
2:	addl	$4, %esp			/* error code */
	incl	(%esp)				/* inb %dx, %al has one byte */
	iret

task_int:
	cmpl	$task_stack_top - 20, %esp	/* eip, cs, eflags, esp, ss */
	jne	1f
	orl	$TASK_STACK, %ebx
1:	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	task_esp, %esp
	popl	idt + 13 * 8 + 4
	popl	idt + 13 * 8
	popl	IOMAP
	popl	SS0
	popl	ESP0
	movl	%ebx, 28(%esp)			/* eax of popal */
	popal
	ret

	.bss
	.balign	16
	.fill	256
task_stack_top:
task_esp:
	.fill	4

	.section .note.GNU-stack, "", @progbits
