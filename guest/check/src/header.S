/*
 * The file's ELF64 header, program headers and PVH note, laid out by hand: the linker writes a plain binary, so the
 * result holds no section table, no path and nothing of the tool chain's version.
 *
 * The code is 32-bit, yet the file is ELF64 with a note of 8 bytes, loaded at 1 MiB: rust-vmm's loader (Firecracker,
 * Cloud Hypervisor) takes only ELF64 and nothing below 1 MiB, and QEMU's reads eight bytes of note from an ELF64.
 */
	.section .header, "a"
file:
	.byte	0x7f, 'E', 'L', 'F', 2, 1, 1, 0	/* ELF64, little-endian, version 1 */
	.long	0, 0
	.short	2, 62				/* ET_EXEC, EM_X86_64 */
	.long	1
	.long	entry, 0			/* e_entry */
	.long	phdrs - file, 0		/* e_phoff */
	.long	0, 0				/* e_shoff: no sections */
	.long	0
	.short	64, 56, 2, 0, 0, 0		/* e_ehsize, e_phentsize, e_phnum, e_sh… */

phdrs:
	.long	1, 7				/* PT_LOAD, RWX: header, code, data and bss */
	.long	0, 0, image, 0, image, 0
	.long	image_filesz, 0, image_memsz, 0, 0x1000, 0
	.long	4, 4				/* PT_NOTE, R */
	.long	note - file, 0, note, 0, note, 0
	.long	noteend - note, 0, noteend - note, 0, 4, 0

note:
	.long	4, 8, 18			/* namesz, descsz, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	entry, 0
noteend:

	/* Counts the runs of this image: more than one mean that a reset didn't load it afresh. Tests know its offset. */
	.globl	runs
runs:	.long	0

	.section .note.GNU-stack, "", @progbits
