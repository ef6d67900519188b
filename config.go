package mayfly

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mayfly-vm/mayfly/internal/loader"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/timeline"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	vconsole "github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// Limits of a machine.
const (
	// MaxCPUs is the most processors of a machine: their APIC ids fit one byte, of
	// which 255 is the broadcast. The host's KVM may allow fewer.
	MaxCPUs = 255
	// MinMemory is the least memory of a machine, in bytes. A kernel may want more.
	MinMemory = 16 << 20
	// MaxMemory is the most, in bytes: what a process can map with room to spare.
	MaxMemory = 16 << 40
	// MaxCmdline is the longest command line, in bytes. Linux itself takes 2047, and
	// is refused a longer one.
	MaxCmdline = 64<<10 - 1
)

// Defaults of a Config's zero fields.
const (
	DefaultCPUs   = 1
	DefaultMemory = 256 << 20
)

// Load is how files come into guest memory; see package loader.
type Load = loader.Mode

// Ways to load.
const (
	LoadAuto = loader.Auto
	LoadMap  = loader.Map
	LoadCopy = loader.Copy
)

// Reboot is what a guest's reboot does.
type Reboot uint8

const (
	RebootRestart Reboot = iota // memory and image are loaded again, in place; after boots of less than a second each, with growing pauses
	RebootExit                  // the machine ends with Rebooted
)

// Bus is how a guest finds and reaches its virtio devices.
type Bus uint8

const (
	BusAuto Bus = iota // BusMMIO: a guest starts faster with it
	BusMMIO            // virtio-mmio, described by ACPI
	BusPCI             // virtio-pci behind a host bridge, with MSI-X
)

// Disk is a virtio-blk device.
type Disk = blk.Config

// Net is a virtio network card.
type Net = vnet.Config

// Vsock is a virtio socket device.
type Vsock = vsock.Config

// ConsolePort is a port of the virtio console.
type ConsolePort = vconsole.Port

// RNG is a virtio entropy device.
type RNG = rng.Config

// Console is the other end of the first serial port.
type Console struct {
	// In is read until its end or the machine's. The latter interrupts the Read if
	// In has a SetReadDeadline that works (pipes, sockets, terminals opened
	// non-blocking); else one goroutine stays in that Read until it returns.
	In io.Reader
	// Out gets what the guest writes; nil discards it. A slow Out slows the guest
	// and loses nothing; one that takes nothing at all for seconds does, see
	// Outcome.Lost.
	Out io.Writer
	// Limit is the most bytes that Out gets; what comes after is lost. 0: no limit.
	Limit uint64
}

// Config describes a machine. The zero value of each field but Kernel is its
// default.
type Config struct {
	Kernel  string   // path: ELF vmlinux, bzImage, or a compressed vmlinux
	Initrd  []string // paths, concatenated as Linux expects
	Cmdline string   // the whole command line; DefaultCmdline has what a Linux guest wants
	Boot    kernel.Boot
	Load    Load

	CPUs      int    // 1 to MaxCPUs; 0: DefaultCPUs
	Memory    uint64 // bytes, rounded up to whole pages; 0: DefaultMemory
	HugePages bool   // from the host's pool of 2 MiB pages
	Prealloc  bool   // all memory present before the start
	// HostReserve is how much of the host's available memory Prealloc and KVM's own
	// tables leave, in bytes: New refuses a machine for which there is too little. 0: a
	// sixteenth, and 128 MiB at least; KVM's tables then take no more than a quarter.
	HostReserve uint64

	// Nested lets the guest run machines of its own (VMX, SVM), PMU gives it
	// performance counters. Both are more of the host's kernel within the guest's reach.
	Nested, PMU bool

	Platform Platform
	Bus      Bus
	Disks    []Disk
	Nets     []Net
	Vsock    *Vsock        // nil: none; a CID of 0 is MinCID
	RNG      *RNG          // nil: none
	Consoles []ConsolePort // ports of a virtio console; the first that is a Console is hvc0
	SMBIOS   *SMBIOS       // nil: no tables
	Watchdog Watchdog
	Devices  []Device // devices of the embedding program's own
	// Report gets New's Plan.Warnings, and what goes wrong with a device while the
	// machine lives on: a driver's mistakes, a disk that is gone. It must not block, and
	// must not call the machine. A device that has much to report is cut short.
	Report func(error)

	OnReboot Reboot
	Console  Console

	KVM      string             // the device; "": /dev/kvm
	CacheDir string             // of unpacked kernels; "": in the user's cache directory
	Timeline *timeline.Recorder // nil: nothing is recorded

	reports *reports // Report, within limits
}

// ConfigError is a field of a Config with a value that cannot be.
type ConfigError struct {
	Field string
	Msg   string
}

// Error names the field, what was found and what can be.
func (e *ConfigError) Error() string { return e.Field + ": " + e.Msg }

// DefaultCmdline is the command line that lets a stock Linux start without
// waiting for anything: the console on the first serial port, no probing for
// more of them, a reboot at once after a panic, and no search for PCI devices with
// quirks before ACPI tells of the bus. Where there is no bus it believes that one could
// be looked at: pci=off would make it complain that it found no way to, a line of
// 120 exits.
func DefaultCmdline(b Bus) string {
	if b == BusPCI {
		return "console=ttyS0 8250.nr_uarts=1 panic=-1 pci=noearly"
	}
	return "console=ttyS0 8250.nr_uarts=1 panic=-1 pci=conf1,noearly" // the other way round conf1 forgets noearly
}

func (c Config) withDefaults() Config {
	if c.CPUs == 0 {
		c.CPUs = DefaultCPUs
	}
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.Report != nil {
		c.reports = &reports{to: c.Report}
	}
	return c
}

func (c *Config) check() error {
	switch {
	case c.Kernel == "":
		return &ConfigError{"Kernel", "no file named: give the path of a vmlinux or a bzImage"}
	case c.CPUs < 1 || c.CPUs > MaxCPUs:
		return &ConfigError{"CPUs", fmt.Sprintf("%d: a machine has 1 to %d", c.CPUs, MaxCPUs)}
	case c.Memory < MinMemory:
		return &ConfigError{"Memory", fmt.Sprintf("%d bytes: a machine has at least %d MiB", c.Memory, MinMemory>>20)}
	case c.Memory > MaxMemory:
		return &ConfigError{"Memory", fmt.Sprintf("%d bytes: a machine has at most %d TiB", c.Memory, uint64(MaxMemory)>>40)}
	case c.Boot.Check() != nil:
		return &ConfigError{"Boot", c.Boot.Check().Error()}
	case c.Load.Check() != nil:
		return &ConfigError{"Load", c.Load.Check().Error()}
	case c.Platform > PlatformGeneric:
		return &ConfigError{"Platform", fmt.Sprintf("%d is no platform: take PlatformAuto, PlatformLinux or PlatformGeneric", c.Platform)}
	case c.Bus > BusPCI:
		return &ConfigError{"Bus", fmt.Sprintf("%d is no bus: take BusAuto, BusMMIO or BusPCI", c.Bus)}
	case slices.ContainsFunc(c.Devices, func(d Device) bool { return d.Device == nil }):
		return &ConfigError{"Devices", "one of them is nil"}
	case c.Watchdog > WatchdogExit:
		return &ConfigError{"Watchdog", fmt.Sprintf("%d is no watchdog: take NoWatchdog, WatchdogRestart or WatchdogExit", c.Watchdog)}
	case c.OnReboot > RebootExit:
		return &ConfigError{"OnReboot", fmt.Sprintf("%d is no answer to a reboot: take RebootRestart or RebootExit", c.OnReboot)}
	case len(c.Cmdline) > MaxCmdline:
		return &ConfigError{"Cmdline", fmt.Sprintf("%d bytes long: at most %d fit (Linux takes 2047)", len(c.Cmdline), MaxCmdline)}
	case strings.IndexByte(c.Cmdline, 0) >= 0:
		return &ConfigError{"Cmdline", fmt.Sprintf("a NUL at byte %d would end it there: remove it", strings.IndexByte(c.Cmdline, 0))}
	}
	for i := range c.Nets {
		for j := range i {
			if err := vnet.Conflict(&c.Nets[j], &c.Nets[i]); err != nil {
				return &ConfigError{"Nets", err.Error()}
			}
		}
	}
	return nil
}
