// Package mayfly runs virtual machines on Linux, by KVM or by a processor in
// software (Config.Processor): it maps a kernel into
// guest memory, puts one virtual CPU into the state that the PVH boot ABI
// describes, and enters the kernel. No firmware, no real mode.
//
//	vm, err := mayfly.New(mayfly.Config{Kernel: "vmlinux", Initrd: []string{"initrd.img"}})
//	if err != nil { … }
//	defer vm.Close()
//	if err := vm.Start(ctx); err != nil { … }
//	outcome, err := vm.Wait(ctx)
//
// A process can hold many machines. After Close nothing of a machine is left:
// no goroutine, file descriptor or mapping. Only where the host's kernel does not
// let go, in the middle of a transfer to a disk that has failed say, does Close
// return before that; Released tells when.
//
// A compressed kernel, such as a distribution's vmlinuz, is unpacked once, into a
// cache. A program does that in its own process if it imports the decompressors,
// which cost each of its starts some 0.3 ms:
//
//	import _ "github.com/mayfly-vm/mayfly/kernel/unpack"
//
// Else the program mayfly-unpack is run, which is searched in the running program's
// folder and in PATH. Where neither is, only an uncompressed vmlinux can be booted.
package mayfly

import (
	"context"
	"errors"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/machine"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Errors about calls that come at the wrong time.
var (
	ErrClosed     = machine.ErrClosed     // after Close
	ErrStarted    = machine.ErrStarted    // a Start after the first one
	ErrNotRunning = machine.ErrNotRunning // before Start, or after the machine's end
)

// VM is a virtual machine. Its methods may be called from any goroutine.
type VM struct {
	plan      *Plan
	machine   *machine.Machine
	confine   Confinement // nil: none
	processor string
}

// Plan is where everything lies in a machine. It is fixed by New, and not to be changed.
// Addresses are guest-physical. Its fields:
//
//	Protocol    kernel.Protocol   // how the kernel is entered
//	Why         string            // why so
//	Platform    Platform          // PlatformLinux or PlatformGeneric
//	PlatformWhy string            // what decided that
//	Warnings    []string          // parameters of the command line with which a Linux does not work well here
//	Delta       int64             // added to every address of the kernel's image; 0 unless relocated
//	Entry       uint64            // address of the first instruction
//	Initrd      memory.Range      // all initrds, joined; Size 0: none
//	MemMap      []pvh.MemMapEntry // the memory map that the guest gets
//	Cmdline     string            // as the guest gets it
//	Bus         Bus               // BusMMIO or BusPCI
//	Devices     []PlannedDevice   // in the order of Config.Devices
//	FirstGSI    int               // that of the I/O APIC's first pin
//	RAM         []memory.Range    // in ascending order
//	Eager       uint64            // bytes of low RAM that the guest needs from its first instruction on
//	ToCopy      uint64            // bytes of files that are copied before the first instruction
//
// and its methods:
//
//	EndOfRAM() uint64                     // the address after the last byte of RAM
//	PCIWindows() (low, high memory.Range) // what the PCI bus passes on; high may be of size 0
//	Pin(gsi int) int                      // the I/O APIC's pin for a GSI
//	Pins() int                            // how many pins the I/O APIC has
//
// What it has beyond these may change at any time.
type Plan = layout.Plan

// PlannedDevice is where a guest finds a virtio device. Its fields:
//
//	Name string      // as errors and calls name the device: "disk root.img", "net 0"
//	Type virtio.Type // the kind of device
//	Addr uint64      // BusMMIO: guest-physical address of its registers
//	GSI  int         // BusMMIO: its interrupt
//	Slot int         // BusPCI: its device number on bus 0
type PlannedDevice = layout.PlannedDevice

// New checks the configuration and opens what it names: the kernel, the
// initrds, the KVM device, the devices. Nothing of the guest exists yet. The machine must
// be closed even if it is never started.
func New(c Config) (*VM, error) {
	return newVM(c, nil)
}

// newVM is New on another host than the configuration's, unless it is nil.
func newVM(c Config, openHost func() (hypervisor.Host, error)) (*VM, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		virtio.Discard(c.Devices)
		return nil, err
	}
	c.Devices = virtio.Numbered(c.Devices)
	s := c.spec()
	if err := c.open(&s, openHost); err != nil {
		s.Close()
		return nil, err
	}
	for _, w := range s.Plan.Warnings {
		c.log("command line", errors.New("command line: "+w))
	}
	return &VM{plan: s.Plan, machine: machine.Make(s), confine: c.Confinement, processor: s.Host.Describe()}, nil
}

// open opens files, KVM and devices, one after the other: each takes less than it costs
// to wake another thread.
func (c *Config) open(s *machine.Spec, openHost func() (hypervisor.Host, error)) error {
	err := c.openFiles(s)
	switch {
	case err != nil:
	case openHost != nil:
		s.Host, err = openHost()
	default:
		s.Host, err = c.openHost(s)
	}
	if err == nil {
		err = s.CheckHost(c.HostReserve)
	}
	if err != nil {
		virtio.Discard(c.Devices)
		return err
	}
	s.FitHost()
	if err := openDevices(s, c.Devices); err != nil {
		return err
	}
	if err := openPeers(c.Confinement, s.Devices); err != nil {
		return err
	}
	c.Timeline.Mark("files and KVM open")
	return nil
}

func (c *Config) openFiles(s *machine.Spec) (err error) {
	if s.Image, err = kernel.Open(c.Kernel, kernel.Options{CacheDir: c.CacheDir}); err != nil {
		return err
	}
	if s.Initrds, err = kernel.OpenInitrds(c.Initrd); err != nil {
		return err
	}
	s.Plan, err = layout.New(c.request(), s.Image, s.Initrds)
	return err
}

// NewPlan returns the Plan that New would make. It opens the files and closes them
// again; neither KVM nor the devices are opened.
func NewPlan(c Config) (*Plan, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Devices = virtio.Numbered(c.Devices)
	var s machine.Spec
	defer s.Close()
	if err := c.openFiles(&s); err != nil {
		return nil, err
	}
	return s.Plan, nil
}

// Plan is where everything lies in the machine, and what its devices are called.
func (vm *VM) Plan() *Plan { return vm.plan }

// Start loads the machine and lets it run; it returns when the first vCPU is about to
// enter the guest. When ctx ends, the machine is killed: cancel it to bound a machine's
// life.
func (vm *VM) Start(ctx context.Context) error { return vm.machine.Start(ctx) }

// Wait returns how the machine ended. The error is ctx's, or that of a failure
// of the host.
func (vm *VM) Wait(ctx context.Context) (Outcome, error) {
	o, err := vm.machine.Wait(ctx)
	return vm.outcomeOf(o), err
}

// State is what the machine does.
func (vm *VM) State() State { return State(vm.machine.State()) }

// Pause stops vCPUs and devices: when it returns nil, nothing writes guest memory, and
// no device has I/O of the host in flight. Each Pause needs its own Resume. When ctx ends
// before that, the machine runs on, and the error is ctx's.
func (vm *VM) Pause(ctx context.Context) error { return vm.machine.Pause(ctx) }

// Resume takes one Pause back; after the last one the machine runs on. It is an error
// where the machine is not paused.
func (vm *VM) Resume() error { return vm.machine.Resume() }

// PowerButton presses the ACPI power button: a guest that listens shuts down.
func (vm *VM) PowerButton() error { return vm.machine.PowerButton() }

// Break puts a break condition on the serial line, after the input that waits
// there. Linux takes a break and a letter for a SysRq request.
func (vm *VM) Break() error { return vm.machine.Break() }

// Shutdown presses the power button and waits for the machine's end; when ctx ends
// first, it kills the machine. It returns as Wait does, without ctx's error.
func (vm *VM) Shutdown(ctx context.Context) (Outcome, error) {
	err := vm.PowerButton()
	if err == nil {
		var o Outcome
		if o, err = vm.Wait(ctx); ctx.Err() == nil || err == nil {
			return o, err
		}
	}
	if vm.Kill() != nil && vm.State() == StateNew {
		return Outcome{}, ErrNotRunning
	}
	return vm.Wait(context.WithoutCancel(ctx))
}

// Kill stops the machine where it stands; Wait then returns Killed. Requests that its
// devices have under way are abandoned.
func (vm *VM) Kill() error { return vm.machine.Kill() }

// Close kills the machine if it runs, and gives back all that it holds. A second
// Close does nothing.
func (vm *VM) Close() error { return vm.machine.Close() }

// Released returns a channel that is closed when, after Close, nothing of the
// machine is left. Close itself waits for that, but not longer than a tenth of a
// second for a machine that it had to kill.
func (vm *VM) Released() <-chan struct{} { return vm.machine.Released() }
