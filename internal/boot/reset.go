package boot

import (
	"github.com/mayfly-vm/mayfly/acpi"
	"github.com/mayfly-vm/mayfly/internal/layout"
)

// resetCode stands in for a PC's BIOS at layout.ResetAddr. A Linux that knows EFI (Debian's)
// leaves the ACPI reset register aside on hardware-reduced machines: it would
// restart by EFI, and where there is none it jumps to the BIOS, in real mode
// (arch/x86/kernel/reboot.c, reboot_init; arch/x86/realmode/rm/reboot.S). The
// code writes to the reset register itself. Only Linux gets it: other kernels may
// have use for the memory around it.
//
//	mov dx, layout.PortPower+2; mov al, ResetValue; out dx, al; hlt; jmp back to hlt
var resetCode = []byte{0xBA, (layout.PortPower + 2) & 0xFF, (layout.PortPower + 2) >> 8, 0xB0, acpi.ResetValue, 0xEE, 0xF4, 0xEB, 0xFD}
