/*
 * The smallest PVH guest: writes the byte 'M' to COM1 and halts.
 *
 * Benchmarks use it to time a monitor from exec to the guest's first output: whatever it takes beyond these few
 * instructions is the monitor's own work. The whole file is laid out by hand (no linker script, no section table),
 * so that the monitor reads one page and no more.
 *
 * ELF64 with an 8-byte note 18 and everything at 1 MiB is what every PVH loader accepts: rust-vmm's takes only
 * ELF64 and no e_entry below 1 MiB, and QEMU's reads eight bytes of descriptor from an ELF64.
 */
	.set	BASE, 0x100000			/* = -Ttext of the Makefile */
	.set	COM1, 0x3f8

	.text
	.code32
	.globl	entry
file:
	.byte	0x7f, 'E', 'L', 'F', 2, 1, 1, 0	/* ELF64, little-endian, version 1 */
	.quad	0
	.short	2, 62				/* ET_EXEC, EM_X86_64 */
	.long	1
	.quad	entry				/* e_entry */
	.quad	phdrs - file			/* e_phoff */
	.quad	0				/* e_shoff: no sections */
	.long	0
	.short	64, 56, 2, 0, 0, 0		/* e_ehsize, e_phentsize, e_phnum, e_sh… */

phdrs:
	.long	1, 5				/* PT_LOAD, R+X: the whole file */
	.quad	0, BASE, BASE, end - file, end - file, 0x1000
	.long	4, 4				/* PT_NOTE, R */
	.quad	note - file, note, note, noteend - note, noteend - note, 4

note:
	.long	4, 8, 18			/* namesz, descsz, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.quad	entry
noteend:

/* tiny.go writes the bytes from here to end over the entry of other kernels: keep them position independent. */
entry:
	movw	$COM1, %dx
	movb	$'M', %al
	outb	%al, %dx
	cli
1:	hlt
	jmp	1b				/* an NMI may end the hlt */
end:
