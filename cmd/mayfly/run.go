package main

import (
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/timeline"
)

// runOptions are the flags of "mayfly run".
type runOptions struct {
	begun time.Time // of the program

	cfg      mayfly.Config
	cmdline  cmdline
	consoles []consolePort
	config   string // the file that was read
	// configText is what standard input held, if the machine was read from there.
	configText []byte
	timeline   string
	dryRun     bool
	quiet      bool
}

func runCommand(begun time.Time) *option.Command {
	o := &runOptions{begun: begun}
	return &option.Command{
		Name: "run", Operands: "[KERNEL]", Brief: "boot a kernel in a new virtual machine", MaxArgs: 1, Files: true,
		Long: []string{
			"KERNEL is a vmlinux (ELF), also a compressed one (.gz, .xz, .zst …), or a bzImage as /boot/vmlinuz-* is one. Without it the newest /boot/vmlinuz-* is taken that can be read. A bzImage is unpacked once, into the cache.",
			"The guest's serial port is standard input and output. On a terminal Ctrl-A x leaves and Ctrl-A h shows the keys.",
			"The command line of a Linux guest begins with “" + mayfly.DefaultCmdline(mayfly.BusAuto) + "”, which lets it start without waiting for devices that it doesn't have.",
			"A device is a list of KEY=VALUE with commas between, in which a key that is true or false may stand alone; the first word may be the path or the kind alone, and two commas stand for one in a value. All keys are below; “mayfly help disk” shows a disk's alone.",
		},
		Flags: o.flags(),
		Examples: []option.Example{
			{Line: "mayfly run", What: "boot this host's own kernel"},
			{Line: "mayfly run vmlinux --initrd initrd.img --cpus 2 --memory 1G", What: "a kernel with its initramfs"},
			{Line: "mayfly run vmlinux --initrd rootfs.cpio --cmdline 'quiet rdinit=/bin/sh' --on-reboot=exit", What: "straight into a shell"},
			{Line: "mayfly run vmlinux --disk root.img --net user,forward=8080:80 --rng --cmdline root=/dev/vda", What: "from a disk, with a network"},
			{Line: "mayfly run vmlinux --initrd rootfs.cpio --timeline boot.svg </dev/null", What: "draw where the time goes"},
			{Line: "mayfly run --memory 8G --dry-run >machine.yaml", What: "look at the machine first, and keep it"},
			{Line: "mayfly run --config machine.yaml --cpus 4", What: "start it from there, with other CPUs"},
		},
		Run: o.run,
	}
}

// flags are what describes a machine, and what is for this run of the command.
func (o *runOptions) flags() []option.Flag {
	return append(o.machine(),
		option.Flag{Name: "config", Arg: "FILE", First: true, Help: "read the machine from FILE, JSON or YAML with these flags' names, or from standard input (-), which the guest then doesn't get; what else stands on the line is set over it, or added to it", Value: o.configFile()},
		option.Flag{Name: "timeline", Arg: "FILE", Help: "write where the time went to FILE, as its name says: .json, .svg or .html", Value: option.Value{Files: true, Set: o.setTimeline}},
		option.Flag{Name: "dry-run", Help: "show the machine that would be started, as a file for --config, and start none", Value: option.ForLine(option.Bool(&o.dryRun))},
		option.Flag{Name: "quiet", Short: 'q', Help: "no word about the machine's end, errors excepted", Value: option.ForLine(option.Bool(&o.quiet))},
	)
}

// setTimeline looks at the name and its folder now: after a long run it would be a pity.
func (o *runOptions) setTimeline(s string) error {
	if err := timeline.CheckName(s); err != nil {
		return fmt.Errorf("the format is not known: let the name end in .json, .svg or .html")
	}
	if err := unix.Access(filepath.Dir(s), unix.W_OK); err != nil {
		return fmt.Errorf("the folder %s: %w", filepath.Dir(s), err)
	}
	o.timeline = s
	return nil
}

func (o *runOptions) run(operands []string) int {
	if o.timeline != "" && !o.dryRun {
		// First of all: the main thread's account, which tells the process's start, should hold little else.
		start, origin := timeline.ProcessStart()
		o.cfg.Timeline = timeline.New(start)
		o.cfg.Timeline.SetOrigin(origin)
		if o.begun.After(start) {
			o.cfg.Timeline.MarkAt("process and Go runtime up", o.begun)
		}
		o.cfg.Timeline.Mark("command line read")
	}
	if err := o.checkConsoles(); err != nil {
		return usage(err, "run")
	}
	if err := o.complete(operands); err != nil {
		say(explain(err))
		return exitError
	}
	if o.dryRun {
		return o.show()
	}
	o.withQCOW2()
	return o.live()
}

// complete fills in what flags and file left open.
func (o *runOptions) complete(operands []string) (err error) {
	if len(operands) > 0 {
		o.cfg.Kernel = operands[0]
	}
	if o.cfg.Kernel == "" {
		if o.cfg.Kernel, err = newestKernel("/boot"); err != nil {
			return err
		}
		if !o.quiet && !o.dryRun {
			say("booting " + o.cfg.Kernel)
		}
	}
	o.cfg.Cmdline = o.cmdline.String(o.cfg.Bus, o.terminalName())
	return nil
}

// title describes the machine in the picture.
func (o *runOptions) title(vm *mayfly.VM) (title, detail string) {
	c := &o.cfg
	cpus := "1 CPU"
	if c.CPUs > 1 {
		cpus = fmt.Sprintf("%d CPUs", c.CPUs)
	}
	memory := c.Memory
	if memory == 0 {
		memory = mayfly.DefaultMemory
	}
	return "mayfly run " + filepath.Base(c.Kernel), fmt.Sprintf("%s, %s of memory, entered by %v, --load=%v", cpus, option.SizeText(memory), vm.Plan().Protocol, c.Load)
}

// writeTimeline writes the picture; a failure doesn't hide behind a guest that ended well.
func (o *runOptions) writeTimeline(vm *mayfly.VM, code int) int {
	r := o.cfg.Timeline
	if r == nil {
		return code
	}
	r.SetTitle(o.title(vm))
	if err := r.Snapshot().WriteFile(o.timeline); err != nil {
		say("--timeline: " + explain(err))
		if code == exitOK {
			return exitError
		}
		return code
	}
	if !o.quiet {
		say("timeline written to " + o.timeline)
	}
	return code
}
