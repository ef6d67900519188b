/*
 * The file's ELF64 header, program headers and PVH note, laid out by hand: the linker writes a plain binary, so the
 * result holds no section table, no path and nothing of the tool chain's version. ELF64, a note of 8 bytes and 1 MiB
 * are what every PVH loader takes (see guest/check/src/header.S).
 */
	.section .header, "a"
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
	.long	1, 7				/* PT_LOAD, RWX: header, code, data and bss */
	.quad	0, image, image, image_filesz, image_memsz, 0x1000
	.long	4, 4				/* PT_NOTE, R */
	.quad	note - file, note, note, noteend - note, noteend - note, 4

note:
	.long	4, 8, 18			/* namesz, descsz, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.quad	entry
noteend:

	.section .note.GNU-stack, "", @progbits
