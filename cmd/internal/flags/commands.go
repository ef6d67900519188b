package flags

import (
	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/internal/confine/monitor"
	"github.com/mayfly-vm/mayfly/kernel"
)

// Names are the subcommands in the order of the help.
func Names() []string {
	return []string{"run", "inspect", "check", "doctor", "schema", "version", "completion", "man", "help"}
}

// Command describes a subcommand, with flags that set variables of no use; nil: there is none of that name.
func Command(name string) *option.Command {
	switch name {
	case "run":
		return new(Run).Command()
	case "inspect":
		return new(Inspect).Command()
	case "check":
		return new(Check).Command()
	case "doctor":
		return new(Doctor).Command()
	case "schema":
		return Schema()
	case "version":
		return new(Version).Command()
	case "completion":
		return Completion()
	case "man":
		return new(Man).Command()
	case "help":
		return Help()
	}
	return nil
}

// Inspect holds what the flags of "mayfly inspect" set.
type Inspect struct {
	Options kernel.Options
	JSON    bool
}

// Command describes "mayfly inspect".
func (o *Inspect) Command() *option.Command {
	return &option.Command{
		Name: "inspect", Operands: "FILE", Brief: "show what a kernel file is and how it would be booted", MinArgs: 1, MaxArgs: 1, Files: true,
		Long: []string{"Shows format, compression, version, entry notes, the limits for other places in memory, the segments, and which protocol would be used and why. Nothing is booted, and no KVM is needed."},
		Flags: []option.Flag{
			{Name: "json", Help: "as JSON", Value: option.Bool(&o.JSON)},
			{Name: "cache-dir", Arg: "DIR", Help: "where unpacked kernels are kept (default: mayfly/kernels in the user's cache folder)", Value: option.Path(&o.Options.CacheDir)},
		},
		Examples: []option.Example{
			{Line: "mayfly inspect /boot/vmlinuz-$(uname -r)", What: "show this host's kernel"},
			{Line: "mayfly inspect --json vmlinux | jq -r .protocol", What: "for scripts"},
		},
	}
}

// Check holds what the flags of "mayfly check" set.
type Check struct {
	Config      mayfly.Config
	Emit        string // the file to write the guest to; empty: run it
	JSON, Facts bool
	Confine     monitor.Mode
}

// Command describes "mayfly check", and sets the defaults of Config.
func (o *Check) Command() *option.Command {
	c := &o.Config
	*c = mayfly.Config{CPUs: 2, Memory: mayfly.DefaultMemory, Boot: kernel.BootPVH, OnReboot: mayfly.RebootExit}
	return &option.Command{
		Name: "check", Brief: "boot the check guest, which reports whether it is entered as the PVH boot ABI requires",
		Long: []string{
			"The check guest examines what it is given: registers and segments at entry, start info, memory map, modules, command line, ACPI tables, secondary CPUs, timer and serial interrupt. Each point is one line. The exit code is 1 when a point failed.",
			"With --emit the guest is written to a file instead. Any monitor that boots PVH kernels can run it; it reports by the Test Anything Protocol on COM1.",
		},
		Flags: []option.Flag{
			{Name: "cpus", Arg: "N", Default: "2", Help: "virtual CPUs, 1 to 255", Value: option.Number(&c.CPUs, 1, mayfly.MaxCPUs)},
			{Name: "cpu", Arg: "HOW", Default: "kvm", Help: "what runs the guest: kvm, soft (a processor in software, of up to 16 vCPUs), or auto: KVM where there is one, else soft",
				Value: option.Choice(&c.Processor, mayfly.ProcessorKVM, mayfly.ProcessorSoft, mayfly.ProcessorAuto)},
			{Name: "memory", Arg: "SIZE", Default: option.SizeText(mayfly.DefaultMemory), Help: "guest memory", Value: option.Bytes(&c.Memory, mayfly.MinMemory, mayfly.MaxMemory)},
			{Name: "facts", Help: "show also what the guest saw and does not judge", Value: option.Bool(&o.Facts)},
			{Name: "json", Help: "as JSON", Value: option.Bool(&o.JSON)},
			{Name: "emit", Arg: "FILE", Help: "write the guest, a PVH ELF, to FILE; - is standard output", Value: option.Path(&o.Emit)},
			confineFlag(&o.Confine),
			kvmFlag(&c.KVM),
		},
		Examples: []option.Example{
			{Line: "mayfly check", What: "check this monitor on this KVM"},
			{Line: "mayfly check --emit check.elf && qemu-system-x86_64 -M microvm -kernel check.elf -nographic", What: "check another monitor"},
		},
	}
}

// Doctor holds what the flags of "mayfly doctor" set.
type Doctor struct {
	KVM  string
	JSON bool
}

// Command describes "mayfly doctor".
func (o *Doctor) Command() *option.Command {
	return &option.Command{
		Name: "doctor", Brief: "report whether this host can run machines, and what to do where it can't",
		Long: []string{"Examines the KVM device and its capabilities, which processor --cpu=auto takes and why, huge pages, limits, what disks, networks and sockets can use, and the programs that are installed with this one. It changes nothing. Lines marked FAIL keep machines from running, on KVM or at all, and make the exit code 1; lines marked note cost speed or a feature."},
		Flags: []option.Flag{
			kvmFlag(&o.KVM),
			{Name: "json", Help: "as JSON", Value: option.Bool(&o.JSON)},
		},
		Examples: []option.Example{{Line: "mayfly doctor", What: "examine this host"}},
	}
}

func kvmFlag(p *string) option.Flag {
	return option.Flag{Name: "kvm", Arg: "PATH", Default: "/dev/kvm", Help: "the KVM device", Value: option.Path(p)}
}

// confineFlag is one of the command line alone: a configuration file does not decide it.
func confineFlag(p *monitor.Mode) option.Flag {
	return option.Flag{Name: "confine", Arg: "HOW", Default: "on", Help: "what happens when this program, with the machine running, makes a system call that a machine doesn't need: on kills it, log writes a line and lets it go on, off confines nothing",
		Value: option.ForLine(option.Choice(p, monitor.On, monitor.Log, monitor.Off))}
}

// Version holds what the flags of "mayfly version" set.
type Version struct{ JSON bool }

// Command describes "mayfly version".
func (o *Version) Command() *option.Command {
	return &option.Command{
		Name: "version", Brief: "show the version of this program",
		Flags: []option.Flag{{Name: "json", Help: "as JSON", Value: option.Bool(&o.JSON)}},
	}
}

// Help describes "mayfly help".
func Help() *option.Command {
	return &option.Command{
		Name: "help", Operands: "[COMMAND|DEVICE]", Brief: "show help about Mayfly, one of its commands, or the keys of a device",
		MaxArgs: 1, Values: append(Names(), deviceNames()...),
	}
}

// deviceNames are the flags whose values are made of keys.
func deviceNames() (names []string) {
	for _, f := range new(Run).Flags() {
		if f.Groups != nil {
			names = append(names, f.Name)
		}
	}
	return names
}
