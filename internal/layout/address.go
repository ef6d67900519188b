// Package layout decides where everything of a machine lies before it exists: guest-physical
// addresses, interrupts, ports, slots, and the command line that names them.
package layout

import (
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/internal/transport/mmio"
)

// Guest-physical addresses of what the monitor writes into low memory. 0x1000 to
// 0x5FFF stay free: OSv writes there before it reads anything.
const (
	StackTop       = 0x6000  // of the first vCPU's stack at entry, downwards to 0x1000
	StartInfoAddr  = 0x6000  // one page, writable: Linux uses its first dword as a stack
	MemMapAddr     = 0x7000  // one page
	ZeroPageAddr   = 0x8000  // Linux 64-bit protocol only
	PageTablesAddr = 0x9000  // likewise
	CmdlineAddr    = 0x20000 // 64 KiB
	ISAHoleAddr    = 0xA0000
	SMBIOSAddr     = 0xC0000 // tables that have no room after the MP table
	VMGenIDAddr    = ACPIAddr - 0x1000
	ACPIAddr       = 0xE0000
	MPTableAddr    = 0xF0000  // guests without ACPI search here
	BIOSTablesEnd  = 0xFC000  // kernels take what follows for page tables of theirs
	ResetAddr      = 0xFFFF0  // where a PC's BIOS starts after a reset, F000:FFF0
	HighAddr       = 0x100000 // kernels load from here on
)

// The hole below 4 GiB.
const (
	PCILowAddr  = 0xC000_0000
	PCILowSize  = 0x2000_0000
	ECAMAddr    = 0xE000_0000
	ECAMSize    = pci.ECAMSize
	MMIOAddr    = 0xFEB0_0000 // virtio-mmio devices, a page each: the vCPUs' second-level tables tell their accesses apart
	MMIOStride  = mmio.Size
	MMIOMost    = 64 // devices
	IOAPICAddr  = 0xFEC0_0000
	IOAPICSize  = 0x1000
	PCIHighSize = 16 << 30 // the window above all RAM begins at a multiple of its size
)

// Global system interrupts of the devices. For a Linux the I/O APIC has pins for
// these and no others: it reads, masks and rewrites each pin at its start.
const (
	GSIPower  = 3
	GSISerial = 4 // as on an AT
	GSIVirtio = 5 // the first of the virtio-mmio devices

	genericPins = 24 // of a PC's I/O APIC: kernels count on them
)

// Ports of the devices.
const (
	PortI8042    = 0x64
	PortSerial   = 0x3F8
	PortPVPanic  = 0x505
	PortPower    = 0x600
	PortWatchdog = 0x620
)

// LeastWidth is how many bits a physical address has on any host with KVM.
const LeastWidth = 36
