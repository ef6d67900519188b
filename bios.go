package mayfly

import "github.com/mayfly-vm/mayfly/acpi"

// resetVectorAddr is where a PC's BIOS starts after a reset, F000:FFF0.
const resetVectorAddr = 0xFFFF0

// resetCode stands in for the BIOS there. A Linux that knows EFI (Debian's)
// leaves the ACPI reset register aside on hardware-reduced machines: it would
// restart by EFI, and where there is none it jumps to the BIOS, in real mode
// (arch/x86/kernel/reboot.c, reboot_init; arch/x86/realmode/rm/reboot.S). The
// code writes to the reset register itself. Only Linux gets it: other kernels may
// have use for the memory around it.
//
//	mov dx, portPower+2; mov al, ResetValue; out dx, al; hlt; jmp back to hlt
var resetCode = []byte{0xBA, (portPower + 2) & 0xFF, (portPower + 2) >> 8, 0xB0, acpi.ResetValue, 0xEE, 0xF4, 0xEB, 0xFD}
