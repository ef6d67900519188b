package mayfly

import (
	"github.com/mayfly-vm/mayfly/internal/enum"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/loader"
	"github.com/mayfly-vm/mayfly/kernel"
)

// Enumerations are strings, as in the configuration file of the command. The zero value
// of each is its default.

// Boot is how the kernel is entered: a string, BootAuto, BootPVH or BootLinux. Its method
// Check returns an error that lists the values where it is none of them, and "" is valid.
type Boot = kernel.Boot

// Ways to enter a kernel.
const (
	BootAuto  = kernel.BootAuto  // by its PVH entry, where it has one
	BootPVH   = kernel.BootPVH   // by the PVH ABI
	BootLinux = kernel.BootLinux // by Linux's 64-bit boot protocol
)

// Load is how files come into guest memory: a string, LoadAuto, LoadMap or LoadCopy, with
// a method Check as that of Boot.
type Load = loader.Mode

// Ways to load.
const (
	LoadAuto = loader.Auto // copies what is executed or patched, maps what is read
	LoadMap  = loader.Map  // maps whatever is page aligned: shared with the host's page cache
	LoadCopy = loader.Copy // copies everything: the files do not matter after the start
)

// Platform is for which sort of guest the machine is made: a string, PlatformAuto,
// PlatformLinux or PlatformGeneric, with a method Check as that of Boot.
type Platform = layout.Platform

// Platforms.
const (
	// PlatformAuto is PlatformLinux for a kernel that is recognised as Linux, else
	// PlatformGeneric.
	PlatformAuto = layout.PlatformAuto
	// PlatformLinux has an I/O APIC with the pins of the machine's devices alone: a
	// Linux starts faster with it.
	PlatformLinux = layout.PlatformLinux
	// PlatformGeneric has an I/O APIC as a PC's: pin N is GSI N, and there are 24 at
	// least. 0xFC000 to 0xFFFFF is left empty.
	PlatformGeneric = layout.PlatformGeneric
)

// Bus is how a guest finds and reaches its virtio devices: a string, BusAuto, BusMMIO or
// BusPCI, with a method Check as that of Boot.
type Bus = layout.Bus

// Buses.
const (
	BusAuto = layout.BusAuto // BusMMIO: a guest starts faster with it
	BusMMIO = layout.BusMMIO // virtio-mmio, described by ACPI
	BusPCI  = layout.BusPCI  // virtio-pci on a host bridge, with MSI-X
)

// Reboot is what a guest's reboot does.
type Reboot string

// Effects of a reboot.
const (
	// RebootRestart loads memory and image again, in place; after boots of less than a
	// second each, with growing pauses.
	RebootRestart Reboot = "restart"
	// RebootExit ends the machine with Rebooted.
	RebootExit Reboot = "exit"
)

// Check is an error that lists the values, where it is none of them.
func (v Reboot) Check() error {
	return enum.Check(v, []Reboot{RebootRestart, RebootExit})
}

// Watchdog is what happens when a guest that has started its watchdog is silent
// for too long.
type Watchdog string

// Watchdogs.
const (
	NoWatchdog      Watchdog = "off"     // the machine has none
	WatchdogRestart Watchdog = "restart" // a reset, as the guest's own: see Config.OnReboot
	WatchdogExit    Watchdog = "exit"    // the machine ends with Hung
)

// Check is an error that lists the values, where it is none of them.
func (v Watchdog) Check() error {
	return enum.Check(v, []Watchdog{NoWatchdog, WatchdogRestart, WatchdogExit})
}
