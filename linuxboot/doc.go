// Package linuxboot starts x86-64 Linux kernels that have no PVH entry by
// Linux's own 64-bit boot protocol. It makes the protocol's zero page (struct
// boot_params) from a [pvh.StartInfo], as a kernel's own PVH entry does, so that one
// description of a machine serves both.
//
// The kernel that is entered is the unpacked vmlinux; RIP is its e_entry as a
// guest-physical address. (The protocol's offset of 0x200 is that of a bzImage,
// whose decompressor isn't run here.)
//
// Sources: Linux's Documentation/arch/x86/boot.rst and zero-page.rst,
// arch/x86/include/uapi/asm/bootparam.h, arch/x86/platform/pvh/enlighten.c.
package linuxboot
