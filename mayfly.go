// Package mayfly runs virtual machines on Linux/KVM: it maps a kernel into
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
// A packed kernel, such as a distribution's vmlinuz, is unpacked once, into a
// cache. A program does that in its own process if it imports the decompressors,
// which cost each of its starts some 0.3 ms:
//
//	import _ "github.com/mayfly-vm/mayfly/kernel/unpack"
//
// Else the program mayfly-unpack is run, which is looked for beside the running
// program and in PATH. Where neither is, only an unpacked vmlinux can be booted.
package mayfly

import (
	"context"
	"errors"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/kvm"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/machine"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Errors about calls that come at the wrong time.
var (
	ErrClosed     = machine.ErrClosed
	ErrStarted    = machine.ErrStarted
	ErrNotRunning = machine.ErrNotRunning
)

// VM is a virtual machine. Its methods may be called from any goroutine.
type VM struct {
	plan    *Plan
	machine *machine.Machine
}

// Plan is where everything lies in a machine. It is fixed by New.
type Plan = layout.Plan

// PlannedDevice is where a guest finds a virtio device.
type PlannedDevice = layout.PlannedDevice

// New checks the configuration and opens what it names: the kernel, the
// initrds, the KVM device, the devices. Nothing of the guest exists yet. The machine must
// be closed even if it is never started.
func New(c Config) (*VM, error) {
	return newVM(c, func() (hypervisor.Host, error) { return kvm.Open(c.KVM) })
}

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
	return &VM{plan: s.Plan, machine: machine.Make(s)}, nil
}

// open opens files, KVM and devices, one after the other: each takes less than it costs
// to wake another thread.
func (c *Config) open(s *machine.Spec, openHost func() (hypervisor.Host, error)) error {
	err := c.openFiles(s)
	if err == nil {
		s.Host, err = openHost()
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

// NewPlan returns how New would lay a machine out. It opens the files and closes them
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

// Plan is how the machine will be laid out; it is fixed by New.
func (vm *VM) Plan() *Plan { return vm.plan }

// Start loads the machine and lets it run; it returns when the first vCPU is about to
// enter the guest. When ctx ends, the machine is killed: cancel it to bound a machine's
// life.
func (vm *VM) Start(ctx context.Context) error { return vm.machine.Start(ctx) }

// Wait returns how the machine ended. The error is ctx's, or that of a failure
// of the host.
func (vm *VM) Wait(ctx context.Context) (Outcome, error) {
	o, err := vm.machine.Wait(ctx)
	return outcomeOf(o), err
}

// State is what the machine does.
func (vm *VM) State() State { return State(vm.machine.State()) }

// Pause stops vCPUs and devices: when it returns nil, nothing writes guest memory, and
// no device has I/O of the host's in flight. Each Pause wants its Resume. When ctx ends
// before that, the machine runs on, and the error is ctx's.
func (vm *VM) Pause(ctx context.Context) error { return vm.machine.Pause(ctx) }

// Resume lets a paused machine go on.
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
