package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/kernel"
)

// checkTime is what the guest may take; a tenth of a second is usual, some seconds where KVM emulates it.
const checkTime = 60 * time.Second

type checkOptions struct {
	cfg   mayfly.Config
	emit  string
	json  bool
	facts bool
}

func checkCommand() *option.Command {
	o := &checkOptions{cfg: mayfly.Config{CPUs: 2, Memory: mayfly.DefaultMemory, Boot: kernel.BootPVH, OnReboot: mayfly.RebootExit}}
	return &option.Command{
		Name: "check", Brief: "boot the check guest, which tells whether the hand-over is as the PVH ABI says",
		Long: []string{
			"The check guest looks at what it was given: registers and segments at entry, start info, memory map, modules, command line, ACPI tables, secondary CPUs, timer and serial interrupt. Each point is one line. The exit code is 1 when a point failed.",
			"With --emit the guest is written to a file instead. Any monitor that boots PVH kernels can run it; it reports by the Test Anything Protocol on COM1.",
		},
		Flags: []option.Flag{
			{Name: "cpus", Arg: "N", Default: "2", Help: "virtual CPUs, 1 to 255", Value: option.Number(&o.cfg.CPUs, 1, mayfly.MaxCPUs)},
			{Name: "memory", Arg: "SIZE", Default: option.SizeText(mayfly.DefaultMemory), Help: "guest memory", Value: option.Bytes(&o.cfg.Memory, mayfly.MinMemory, mayfly.MaxMemory)},
			{Name: "facts", Help: "show what else the guest saw", Value: option.Bool(&o.facts)},
			{Name: "json", Help: "as JSON", Value: option.Bool(&o.json)},
			{Name: "emit", Arg: "FILE", Help: "write the guest, a PVH ELF, to FILE; - is standard output", Value: option.Path(&o.emit)},
			kvmFlag(&o.cfg.KVM),
		},
		Examples: []option.Example{
			{Line: "mayfly check", What: "check this monitor on this KVM"},
			{Line: "mayfly check --emit check.elf && qemu-system-x86_64 -M microvm -kernel check.elf -nographic", What: "check another monitor"},
		},
		Run: o.run,
	}
}

func (o *checkOptions) run([]string) int {
	if o.emit != "" {
		return o.write()
	}
	result, err := o.boot()
	if err != nil {
		return fail(err, "check")
	}
	if o.json {
		if code := printJSON(result); code != exitOK {
			return code
		}
	} else if code := printText(result.text(o.facts)); code != exitOK {
		return code
	}
	if !result.OK {
		return exitError
	}
	return exitOK
}

func (o *checkOptions) write() int {
	var err error
	if o.emit == "-" {
		_, err := os.Stdout.Write(check.ELF)
		return printed(err)
	} else {
		err = os.WriteFile(o.emit, check.ELF, 0o644)
	}
	if err != nil {
		return fail(err, "check")
	}
	return exitOK
}

// module is what the guest gets as its initrd, to find and to sum up.
const module = "mayfly check module: the guest reads these words and sums them up.\n"

// boot runs the guest and reads its report. The error is that of a machine that couldn't be made.
func (o *checkOptions) boot() (*checkResult, error) {
	elf, err := memoryFile("check.elf", check.ELF)
	if err != nil {
		return nil, err
	}
	defer elf.Close()
	mod, err := memoryFile("module", []byte(module))
	if err != nil {
		return nil, err
	}
	defer mod.Close()

	out := &capture{}
	c := o.cfg
	c.Kernel, c.Initrd = pathOf(elf), []string{pathOf(mod)}
	c.Cmdline = check.Cmdline(check.Options{Memory: c.Memory, CPUs: c.CPUs, Modules: []uint32{check.Sum([]byte(module))}})
	c.Console.Out = out
	vm, err := mayfly.New(c)
	if err != nil {
		return nil, err
	}
	defer vm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	if err := hide(); err != nil {
		return nil, err
	}
	if err := vm.Start(ctx); err != nil {
		return nil, err
	}
	outcome, err := vm.Wait(context.Background())
	if err != nil {
		return nil, err
	}
	report, err := check.Parse(bytes.NewReader(out.bytes()))
	return newCheckResult(report, err, outcome, ctx.Err()), nil
}

// memoryFile makes a file that is in memory alone. Files, not paths in the user's folders: nothing is left behind.
func memoryFile(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("a file in memory for %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(data); err != nil {
		f.Close()
		return nil, fmt.Errorf("a file in memory for %s: %w", name, err)
	}
	return f, nil
}

func pathOf(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// capture keeps the guest's output, up to a limit that the check guest stays far below.
type capture struct {
	mu  sync.Mutex
	buf []byte
}

const captureLimit = 1 << 20

var errTooMuchOutput = errors.New("the guest writes without end")

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.buf)+len(p) > captureLimit {
		return 0, errTooMuchOutput
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

func (c *capture) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf
}
