package mayfly

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/machine"
	"github.com/mayfly-vm/mayfly/internal/reports"
	"github.com/mayfly-vm/mayfly/smbios"
	"github.com/mayfly-vm/mayfly/timeline"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Limits of a machine.
const (
	// MaxCPUs is the most vCPUs of a machine: their APIC ids fit one byte, of
	// which 255 is the broadcast. The host's KVM may allow fewer.
	MaxCPUs = 255
	// MinMemory is the least memory of a machine, in bytes. A kernel may want more.
	MinMemory = 16 << 20
	// MaxMemory is the most, in bytes: what a process can map with room to spare.
	MaxMemory = layout.MaxMemory
	// MaxCmdline is the longest command line, in bytes. Linux itself takes 2047, and
	// is refused a longer one.
	MaxCmdline = layout.MaxCmdline
)

// Defaults of a Config's zero fields.
const (
	DefaultCPUs   = 1
	DefaultMemory = 256 << 20
)

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
	Boot    Boot
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

	Processor Processor // "": ProcessorKVM
	// CountInstructions has time be that of the instructions that the one vCPU executes, on the software processor, which
	// it asks for: the clock, its timers and what devices answer come at the same instruction in each run, random numbers
	// and the generation ID are the same, so that no key of the guest is a secret, and waiting takes no time. What comes from outside, such as input of a console, comes when it comes.
	// Only devices whose answers depend on nothing else can be there: disks, rng and consoles, with split virtqueues.
	CountInstructions bool
	Platform          Platform
	Bus               Bus
	// Devices are the machine's virtio devices, in the order in which the guest finds
	// them. New takes over what they hold open, also when it fails.
	Devices  []DeviceConfig
	SMBIOS   *smbios.Config // what the machine says of itself; nil: no tables
	Watchdog Watchdog
	// Logger gets New's Plan.Warnings, and what goes wrong with a device while the
	// machine lives on: a driver's mistakes, a disk that is gone. Records have the level
	// Warn, the attributes "device", a name, and "error", mostly a *DeviceError. The
	// handler must not block, and must not call the machine. A device that has much to
	// report is cut short. nil: nothing is logged.
	Logger *slog.Logger

	OnReboot Reboot
	Console  Console

	// Confinement is applied before the guest runs; nil: the process keeps its rights.
	Confinement Confinement

	KVM      string             // the device; "": /dev/kvm
	CacheDir string             // of unpacked kernels; "": in the user's cache directory
	Timeline *timeline.Recorder // nil: nothing is recorded
}

// ConfigError is an invalid value in a field of a Config. errors.As finds a *ConfigError,
// which unwraps to its Err. Its fields:
//
//	Field string // the field's name: "Memory", "Devices"
//	Msg   string // what was found, and what is valid
//	Err   error  // the cause, where that is an error such as a *DeviceError; else nil
type ConfigError = layout.ConfigError

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
	if c.CountInstructions && c.Processor != ProcessorKVM {
		c.Processor = ProcessorSoft
	}
	c.Processor = cmp.Or(c.Processor, ProcessorKVM)
	c.Boot, c.Load = cmp.Or(c.Boot, BootAuto), cmp.Or(c.Load, LoadAuto)
	c.Platform, c.Bus = cmp.Or(c.Platform, PlatformAuto), cmp.Or(c.Bus, BusAuto)
	c.OnReboot, c.Watchdog = cmp.Or(c.OnReboot, RebootRestart), cmp.Or(c.Watchdog, NoWatchdog)
	return c
}

// spec is what of the configuration a machine is made of, without what is to be opened.
func (c *Config) spec() machine.Spec {
	watchdogs := map[Watchdog]machine.Watchdog{WatchdogRestart: machine.WatchdogRestart, WatchdogExit: machine.WatchdogExit}
	s := machine.Spec{
		CPUs: c.CPUs, Memory: c.Memory, HugePages: c.HugePages, Prealloc: c.Prealloc,
		Features:     hypervisor.Features{Nested: c.Nested, PMU: c.PMU},
		Counted:      c.CountInstructions,
		SMBIOS:       c.SMBIOS,
		Watchdog:     watchdogs[c.Watchdog],
		ExitOnReboot: c.OnReboot == RebootExit,
		Console:      machine.Console(c.Console),
		Timeline:     c.Timeline,
		Confinement:  c.Confinement,
	}
	if c.Logger != nil {
		s.Reports = reports.New(c.log)
	}
	return s
}

// log passes what is reported of a machine's part to the Logger.
func (c *Config) log(name string, err error) {
	if c.Logger != nil {
		c.Logger.LogAttrs(context.Background(), slog.LevelWarn, err.Error(), slog.String("device", name), slog.Any("error", err))
	}
}

func (c *Config) check() error {
	switch {
	case c.Kernel == "":
		return &ConfigError{Field: "Kernel", Msg: "no file named: give the path of a vmlinux or a bzImage"}
	case c.CPUs < 1 || c.CPUs > MaxCPUs:
		return &ConfigError{Field: "CPUs", Msg: fmt.Sprintf("%d: a machine has 1 to %d", c.CPUs, MaxCPUs)}
	case c.Memory < MinMemory:
		return &ConfigError{Field: "Memory", Msg: fmt.Sprintf("%d bytes: a machine has at least %d MiB", c.Memory, MinMemory>>20)}
	case c.Memory > MaxMemory:
		return &ConfigError{Field: "Memory", Msg: fmt.Sprintf("%d bytes: a machine has at most %d TiB", c.Memory, uint64(MaxMemory)>>40)}
	case c.Boot.Check() != nil:
		return &ConfigError{Field: "Boot", Msg: c.Boot.Check().Error()}
	case c.Load.Check() != nil:
		return &ConfigError{Field: "Load", Msg: c.Load.Check().Error()}
	case c.Processor.Check() != nil:
		return &ConfigError{Field: "Processor", Msg: c.Processor.Check().Error()}
	case c.Platform.Check() != nil:
		return &ConfigError{Field: "Platform", Msg: c.Platform.Check().Error()}
	case c.Bus.Check() != nil:
		return &ConfigError{Field: "Bus", Msg: c.Bus.Check().Error()}
	case c.OnReboot.Check() != nil:
		return &ConfigError{Field: "OnReboot", Msg: c.OnReboot.Check().Error()}
	case c.Watchdog.Check() != nil:
		return &ConfigError{Field: "Watchdog", Msg: c.Watchdog.Check().Error()}
	case len(c.Cmdline) > MaxCmdline:
		return &ConfigError{Field: "Cmdline", Msg: fmt.Sprintf("%d bytes long: at most %d fit (Linux takes 2047)", len(c.Cmdline), MaxCmdline)}
	case strings.IndexByte(c.Cmdline, 0) >= 0:
		return &ConfigError{Field: "Cmdline", Msg: fmt.Sprintf("a NUL at byte %d would end it there: remove it", strings.IndexByte(c.Cmdline, 0))}
	}
	if err := virtio.CheckConfigs(c.Devices); err != nil {
		return &ConfigError{Field: "Devices", Msg: err.Error(), Err: err}
	}
	if wrong := c.notCounted(); wrong != "" {
		return &ConfigError{Field: "CountInstructions", Msg: wrong}
	}
	return nil
}
