package mayfly

import (
	"errors"
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/enum"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/kvm"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/machine"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Processor is what runs the guest's instructions.
type Processor string

// Processors.
const (
	ProcessorKVM Processor = "kvm" // the host's, by its KVM
	// ProcessorSoft is a processor in software, which needs no KVM. It has up to 16 vCPUs, and is
	// ten to fifty times as slow. Each vCPU is a goroutine that computes: where there are several, New raises GOMAXPROCS
	// to one more than there are.
	ProcessorSoft Processor = "soft"
	// ProcessorAuto is KVM where it can run this kernel, else the software processor; the
	// Logger gets the reason.
	ProcessorAuto Processor = "auto"
)

// Check is an error that lists the values, where it is none of them.
func (v Processor) Check() error {
	return enum.Check(v, []Processor{ProcessorKVM, ProcessorSoft, ProcessorAuto})
}

// openHost opens the processor that the configuration asks for.
func (c *Config) openHost(s *machine.Spec) (hypervisor.Host, error) {
	if c.Processor == ProcessorSoft {
		if err := c.softLacks(); err != nil {
			return nil, err
		}
		return c.openSoft(s)
	}
	h, err := kvm.Open(c.KVM)
	switch {
	case err != nil && c.Processor != ProcessorAuto:
		return nil, fmt.Errorf("%w; the software processor needs no KVM", err)
	case err != nil && c.KVM != "" && c.KVM != kvm.DefaultPath: // who names another device wants that
		return nil, fmt.Errorf("%w; where another KVM device than %s is named, the software processor is not taken in its place", err, kvm.DefaultPath)
	case err != nil:
	case c.Processor != ProcessorAuto || c.KVM != "" && c.KVM != kvm.DefaultPath:
		return h, nil
	case kvm.EmulatesKernelMode() && s.Plan.Platform == PlatformLinux:
		h.Close()
		err = errors.New("this host's KVM, kvm_pvm, cannot run Linux")
	default:
		return h, nil
	}
	software, why := c.openSoft(s)
	if why != nil {
		return nil, fmt.Errorf("%w; %w", err, why)
	}
	c.log("processor", fmt.Errorf("the software processor runs this machine, more slowly: %w", err))
	if err := c.softLacks(); err != nil {
		software.Close()
		return nil, err
	}
	return software, nil
}

// softLacks is an error where the configuration asks for what only KVM has.
func (c *Config) softLacks() error {
	switch {
	case c.Nested:
		return &ConfigError{Field: "Nested", Msg: "the software processor has no virtualisation: leave it out, or use KVM"}
	case c.PMU:
		return &ConfigError{Field: "PMU", Msg: "the software processor has no performance counters: leave it out, or use KVM"}
	}
	return nil
}

// openSoft opens the software processor, under which nothing of the memory may be replaced while the
// guest runs: what would be loaded later is loaded at once.
func (c *Config) openSoft(s *machine.Spec) (hypervisor.Host, error) {
	r := c.request()
	r.Early = true
	var err error
	if s.Plan, err = layout.New(r, s.Image, s.Initrds); err != nil {
		return nil, err
	}
	h, err := soft.Open()
	switch {
	case errors.Is(err, soft.ErrNoExecution):
		return nil, fmt.Errorf("the software processor: %w; %s", err, soft.ExecutionAdvice)
	case err != nil:
		return nil, fmt.Errorf("the software processor: %w", err)
	}
	s.Software = true
	return h, nil
}

// notCounted is what CountInstructions does not go with; "": all is well.
func (c *Config) notCounted() string {
	switch {
	case !c.CountInstructions:
		return ""
	case c.Processor == ProcessorKVM:
		return "KVM does not count instructions: choose the software processor"
	case c.CPUs != 1:
		return fmt.Sprintf("%d vCPUs execute instructions in no order that could be repeated: give the machine one", c.CPUs)
	case c.Watchdog != NoWatchdog:
		return "a watchdog goes by the host's time: leave it out"
	}
	for _, d := range c.Devices {
		_, packed := virtio.As[virtio.Packed](d)
		switch t := d.DeviceType(); {
		case t != virtio.TypeBlock && t != virtio.TypeEntropy && t != virtio.TypeConsole:
			return fmt.Sprintf("what the device %s receives comes at no fixed instruction: leave it out", d.DeviceName())
		case packed:
			return fmt.Sprintf("the device %s has packed virtqueues: let it have split ones", d.DeviceName())
		}
	}
	return ""
}
