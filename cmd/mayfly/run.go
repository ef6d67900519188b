package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/loader"
	"github.com/mayfly-vm/mayfly/timeline"
)

// runOptions are the flags of "mayfly run".
type runOptions struct {
	begun time.Time // of the program

	cfg         mayfly.Config
	cmdline     []string // added to the defaults
	cmdlineOnly []string // in their place
	only        bool
	timeline    string
	dryRun      bool
	quiet       bool
}

func runCommand(begun time.Time) *option.Command {
	o := &runOptions{begun: begun}
	return &option.Command{
		Name: "run", Operands: "[KERNEL]", Brief: "boot a kernel in a new virtual machine", MaxArgs: 1, Files: true,
		Long: []string{
			"KERNEL is a vmlinux (ELF), also a compressed one (.gz, .xz, .zst …), or a bzImage as /boot/vmlinuz-* is one. Without it the newest /boot/vmlinuz-* is taken that can be read. A bzImage is unpacked once, into the cache.",
			"The guest's serial port is standard input and output. On a terminal Ctrl-A x leaves and Ctrl-A h shows the keys.",
			"The command line of a Linux guest begins with “" + mayfly.DefaultCmdline() + "”, which lets it start without waiting for devices that it doesn't have.",
		},
		Flags: []option.Flag{
			{Name: "initrd", Arg: "FILE", Files: true, Many: true, Help: "the initial RAM disk; several are joined in their order, as Linux expects", Set: option.Texts(&o.cfg.Initrd)},
			{Name: "cmdline", Arg: "TEXT", Many: true, Help: "add to the kernel's command line", Set: option.Texts(&o.cmdline)},
			{Name: "cmdline-only", Arg: "TEXT", Help: "the kernel's whole command line, without the defaults", Set: func(s string) error { o.cmdlineOnly, o.only = []string{s}, true; return nil }},
			{Name: "cpus", Arg: "N", Default: "1", Help: "virtual CPUs, 1 to 255", Set: option.Number(&o.cfg.CPUs, 1, mayfly.MaxCPUs)},
			{Name: "memory", Arg: "SIZE", Default: option.SizeText(mayfly.DefaultMemory), Help: "guest memory, such as 512M, 4G or 1T; a bare number counts MiB", Set: option.Bytes(&o.cfg.Memory, mayfly.MinMemory, mayfly.MaxMemory)},
			{Name: "boot", Arg: "HOW", Default: "auto", Values: []string{"auto", "pvh", "linux"}, Help: "how the kernel is entered: by its PVH entry, by the Linux 64-bit protocol, or auto: PVH where the kernel has it", Set: o.setBoot},
			{Name: "load", Arg: "HOW", Default: "auto", Values: []string{"auto", "map", "copy"}, Help: "how files come into guest memory: map shares the host's page cache, copy fills huge pages, auto copies what is executed or patched and maps what is read", Set: o.setLoad},
			{Name: "hugepages", Help: "take guest memory from the host's reserved huge pages (hugetlbfs)", Set: option.Bool(&o.cfg.HugePages)},
			{Name: "prealloc", Help: "take all guest memory from the host before the guest starts", Set: option.Bool(&o.cfg.Prealloc)},
			{Name: "on-reboot", Arg: "WHAT", Default: "restart", Values: []string{"restart", "exit"}, Help: "what a reboot of the guest does", Set: o.setOnReboot},
			{Name: "timeline", Arg: "FILE", Files: true, Help: "write where the time went to FILE, as its name says: .json, .svg or .html", Set: o.setTimeline},
			{Name: "dry-run", Help: "show the machine that would be started, and start none", Set: option.Bool(&o.dryRun)},
			{Name: "cache-dir", Arg: "DIR", Files: true, Help: "where unpacked kernels are kept (default: mayfly/kernels in the user's cache folder)", Set: option.Text(&o.cfg.CacheDir)},
			kvmFlag(&o.cfg.KVM),
			{Name: "quiet", Short: 'q', Help: "no word about the machine's end, errors excepted", Set: option.Bool(&o.quiet)},
		},
		Examples: []option.Example{
			{Line: "mayfly run", What: "boot this host's own kernel"},
			{Line: "mayfly run vmlinux --initrd initrd.img --cpus 2 --memory 1G", What: "a kernel with its initramfs"},
			{Line: "mayfly run vmlinux --initrd rootfs.cpio --cmdline 'quiet rdinit=/bin/sh' --on-reboot=exit", What: "straight into a shell"},
			{Line: "mayfly run vmlinux --initrd rootfs.cpio --timeline boot.svg </dev/null", What: "draw where the time goes"},
			{Line: "mayfly run --memory 8G --dry-run", What: "look at the machine first"},
		},
		Run: o.run,
	}
}

func (o *runOptions) setBoot(s string) (err error) { o.cfg.Boot, err = kernel.ParseBoot(s); return err }
func (o *runOptions) setLoad(s string) (err error) { o.cfg.Load, err = loader.ParseMode(s); return err }

func (o *runOptions) setOnReboot(s string) error {
	o.cfg.OnReboot = mayfly.RebootRestart
	if s == "exit" {
		o.cfg.OnReboot = mayfly.RebootExit
	}
	return nil
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
	if o.only && len(o.cmdline) > 0 {
		return usage(&option.UsageError{Command: "run", Msg: "--cmdline adds to the defaults and --cmdline-only replaces them: only one of them can be"}, "run")
	}
	if err := o.complete(operands); err != nil {
		say(err.Error())
		return exitError
	}
	if o.dryRun {
		return o.show()
	}
	return o.live()
}

// complete fills in what the flags left open.
func (o *runOptions) complete(operands []string) (err error) {
	if len(operands) > 0 {
		o.cfg.Kernel = operands[0]
	} else if o.cfg.Kernel, err = newestKernel("/boot"); err != nil {
		return err
	} else if !o.quiet && !o.dryRun {
		say("booting " + o.cfg.Kernel)
	}
	words := o.cmdlineOnly
	if !o.only {
		words = append([]string{mayfly.DefaultCmdline()}, o.cmdline...)
	}
	o.cfg.Cmdline = strings.Join(words, " ")
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
		say("--timeline: " + err.Error())
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
