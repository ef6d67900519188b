package flags

import (
	"errors"
	"math"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/kernel"
)

// Machine is the table of what describes a machine: flags, configuration file, schema, help, completion and reference
// are made of it.
func (o *Run) Machine() []option.Flag {
	c := &o.Config
	return append(append([]option.Flag{
		{Name: "kernel", Arg: "FILE", Help: "the kernel, in place of KERNEL", Value: option.Path(&c.Kernel)},
		{Name: "initrd", Arg: "FILE", Many: true, Help: "the initial RAM disk; several are joined in their order, as Linux expects", Value: files(&c.Initrd)},
		{Name: "cmdline", Arg: "TEXT", Many: true, Help: "add to the kernel's command line", Value: o.Cmdline.addition()},
		{Name: "cmdline-only", Arg: "TEXT", Help: "the kernel's whole command line, without the defaults", Value: o.Cmdline.whole()},
		{Name: "cpus", Arg: "N", Default: "1", Help: "virtual CPUs, 1 to 255", Value: option.Number(&c.CPUs, 1, mayfly.MaxCPUs)},
		{Name: "cpu", Arg: "HOW", Default: "auto", Help: "what runs the guest: kvm, soft (a processor in software, of up to 16 vCPUs), or auto: KVM where it can run this kernel or --kvm names a device, else soft",
			Value: option.Choice(&c.Processor, mayfly.ProcessorAuto, mayfly.ProcessorKVM, mayfly.ProcessorSoft)},
		{Name: "icount", Help: "let the guest's time be counted in the instructions that its one vCPU executes, on the software processor: each run of the same guest with the same disks is the same, to the instruction; with no other devices than disks, --rng and consoles", Value: option.Bool(&c.CountInstructions)},
		{Name: "memory", Arg: "SIZE", Default: option.SizeText(mayfly.DefaultMemory), Help: "guest memory, such as 512M, 4G or 1T; a bare number counts MiB", Value: option.Bytes(&c.Memory, mayfly.MinMemory, mayfly.MaxMemory)},
		{Name: "boot", Arg: "HOW", Default: "auto", Help: "how the kernel is entered: by its PVH entry, by the Linux 64-bit protocol, or auto: PVH where the kernel has it",
			Value: option.Choice(&c.Boot, kernel.Boots...)},
		{Name: "platform", Arg: "KIND", Default: "auto", Help: "for which guest the machine is made: linux has an I/O APIC with the few pins that it needs, generic one of 24 pins from GSI 0 on as a PC's, auto: linux where the kernel is recognised as Linux",
			Value: option.Choice(&c.Platform, mayfly.PlatformAuto, mayfly.PlatformLinux, mayfly.PlatformGeneric)},
		{Name: "load", Arg: "HOW", Default: "auto", Help: "how files are loaded into guest memory: map shares the host's page cache, copy fills huge pages, auto copies what is executed or patched and maps what is read",
			Value: option.Choice(&c.Load, mayfly.LoadAuto, mayfly.LoadMap, mayfly.LoadCopy)},
		{Name: "hugepages", Help: "allocate guest memory from the host's reserved huge pages (hugetlbfs)", Value: option.Bool(&c.HugePages)},
		{Name: "prealloc", Help: "allocate all guest memory before the guest starts", Value: option.Bool(&c.Prealloc)},
		{Name: "host-reserve", Arg: "SIZE", Help: "available memory of the host that --prealloc and KVM's own tables must leave, or the machine is refused (default: a sixteenth of it, at least 128M, and the tables take no more than a quarter)", Value: option.Bytes(&c.HostReserve, 1, math.MaxInt64)},
		{Name: "nested", Help: "let the guest run virtual machines of its own (VMX, SVM), where the host's KVM does nested virtualisation", Value: option.Bool(&c.Nested)},
		{Name: "pmu", Help: "give the guest performance counters, where the host's KVM has them", Value: option.Bool(&c.PMU)},
		{Name: "on-reboot", Arg: "WHAT", Default: "restart", Help: "what a reboot of the guest does; a guest that reboots repeatedly within a second is restarted with delays of up to 5 s",
			Value: option.Choice(&c.OnReboot, mayfly.RebootRestart, mayfly.RebootExit)},
	}, o.devices()...), []option.Flag{
		{Name: "serial-limit", Arg: "SIZE", Help: "the most that the serial port writes to standard output, such as 10M; what the guest writes beyond is lost, and reported", Value: option.Bytes(&c.Console.Limit, 1, math.MaxInt64)},
		{Name: "cache-dir", Arg: "DIR", Help: "where unpacked kernels are kept (default: mayfly/kernels in the user's cache folder)", Value: option.Path(&c.CacheDir)},
		kvmFlag(&c.KVM),
	}...)
}

// files is for names of files.
func files(p *[]string) option.Value {
	v := option.Texts(p)
	v.Files = true
	v.Set = func(s string) error {
		if s == "" {
			return errors.New("empty; name a file")
		}
		*p = append(*p, s)
		return nil
	}
	return v
}
