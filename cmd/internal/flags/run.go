// Package flags is the table of Mayfly's commands and flags. What the program mayfly parses, reads from configuration
// files and shows as help comes from here, and so does all that the program mayfly-doc generates.
//
// Each command that has flags is a structure that holds what they set, with a method Command that describes it.
package flags

import (
	"cmp"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/internal/confine/monitor"
	"github.com/mayfly-vm/mayfly/timeline"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// Run holds what the flags of "mayfly run" set.
type Run struct {
	Config   mayfly.Config // without the devices below; see Connect
	Cmdline  Cmdline
	Disks    []Device[blk.Config]
	Nets     []Device[vnet.Config]
	Vsock    *Device[vsock.Config] // nil: none
	RNG      *Device[rng.Config]   // nil: none
	Consoles []ConsolePort

	Timeline string // the file to write; empty: none
	Stats    Stats
	DryRun   bool
	Confine  monitor.Mode
	Quiet    bool

	// StandardInput is what standard input held, if the configuration was read from there.
	StandardInput []byte

	file string // the configuration file that was read
}

// Command describes "mayfly run".
func (o *Run) Command() *option.Command {
	return &option.Command{
		Name: "run", Operands: "[KERNEL]", Brief: "boot a kernel in a new virtual machine", MaxArgs: 1, Files: true,
		Long: []string{
			"KERNEL is a vmlinux (ELF), also a compressed one (.gz, .xz, .zst …), or a bzImage as /boot/vmlinuz-* is one. Without it the newest /boot/vmlinuz-* is taken that can be read. A bzImage is unpacked once, into the cache.",
			"The guest's serial port is standard input and output. On a terminal Ctrl-A x leaves and Ctrl-A h shows the keys.",
			"The command line of a Linux guest begins with “" + mayfly.DefaultCmdline(mayfly.BusAuto) + "”, which lets it start without waiting for devices that it doesn't have.",
			"A device is a list of KEY=VALUE with commas between, in which a key that is true or false may stand alone; the first item may be the path or the kind alone, and two commas stand for one in a value. All keys are below; “mayfly help disk” shows only those of a disk.",
		},
		Flags: o.Flags(),
		Examples: []option.Example{
			{Line: "mayfly run", What: "boot this host's own kernel"},
			{Line: "mayfly run vmlinux --initrd initrd.img --cpus 2 --memory 1G", What: "a kernel with its initramfs"},
			{Line: "mayfly run vmlinux --initrd rootfs.cpio --cmdline 'quiet rdinit=/bin/sh' --on-reboot=exit", What: "straight into a shell"},
			{Line: "mayfly run vmlinux --disk root.img --net user,forward=8080:80 --rng --cmdline root=/dev/vda", What: "from a disk, with a network"},
			{Line: "mayfly run vmlinux --initrd rootfs.cpio --timeline boot.svg </dev/null", What: "draw where the time goes"},
			{Line: "mayfly run --memory 8G --dry-run >machine.yaml", What: "show the machine first, and keep it"},
			{Line: "mayfly run --config machine.yaml --cpus 4", What: "start it from there, with other CPUs"},
		},
	}
}

// Flags are those that describe a machine, and those for one run of the command.
func (o *Run) Flags() []option.Flag {
	return append(o.Machine(),
		option.Flag{Name: "config", Arg: "FILE", First: true, Help: "read the machine from FILE, JSON or YAML with these flags' names, or from standard input (-), which the guest then doesn't get; other flags of the line override it, or add to it", Value: o.configFile()},
		option.Flag{Name: "timeline", Arg: "FILE", Help: "write where the time went to FILE, in the format of its name: .json, .svg or .html", Value: option.Value{Files: true, Set: o.setTimeline}},
		option.Flag{Name: "stats", Arg: "FILE[,every=SECONDS]", Help: "append the machine's counters (uptime, restarts, vCPU exits, instructions that the software processor has executed and those that it does not have, what each device did) to FILE, or write them to standard output (-), as one line of JSON at its end; with every also each so many seconds", Value: o.Stats.value()},
		option.Flag{Name: "dry-run", Help: "show the machine that would be started, as a file for --config, and start none", Value: option.ForLine(option.Bool(&o.DryRun))},
		confineFlag(&o.Confine),
		option.Flag{Name: "quiet", Short: 'q', Help: "no message about the machine's end, errors excepted", Value: option.ForLine(option.Bool(&o.Quiet))},
	)
}

// setTimeline checks the name and its folder before the machine runs, whose picture would be lost otherwise.
func (o *Run) setTimeline(s string) error {
	if err := timeline.CheckName(s); err != nil {
		return fmt.Errorf("the format is not known: let the name end in .json, .svg or .html")
	}
	if err := unix.Access(filepath.Dir(s), unix.W_OK); err != nil {
		return fmt.Errorf("the folder %s: %w", filepath.Dir(s), err)
	}
	o.Timeline = s
	return nil
}

// Complete sets what comes from operands, and what depends on several flags. The error is an *[option.UsageError].
func (o *Run) Complete(operands []string) error {
	o.Config.Processor = cmp.Or(o.Config.Processor, mayfly.ProcessorAuto)
	if len(operands) > 0 {
		o.Config.Kernel = operands[0]
	}
	o.Config.Cmdline = o.Cmdline.String(o.Config.Bus, o.terminalName())
	return o.checkConsoles()
}
