// Package pci is a PCI Express bus as firmware would leave it to a kernel: a host
// bridge with one bus of 32 slots, configuration space by ECAM and by ports
// 0xCF8 to 0xCFF, and base addresses that are assigned before the guest starts
// and that the guest may move. Interrupts are MSI-X only: no function has a pin,
// so no interrupt routing has to be described.
//
// A device is a Function: a configuration space (Space) with base address
// registers (BAR) and capabilities, and perhaps an MSIX.
//
// References: PCI Local Bus 3.0 (configuration space in chapter 6, MSI-X in
// 6.8.2), PCI Express Base 5.0 (ECAM in section 7.2.2).
package pci
