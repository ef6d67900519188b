// Command lab runs a program on a KVM that can run Linux: this machine's, or
// that of the nest.
//
//	go run ./lab/cmd/lab [flags] -- PROGRAM [ARGUMENT…]
//
// The program is a static executable, or a Go package of this module (./cmd/mayfly),
// which is then built. It runs in a directory that holds the files named by
// -file; -kernel NAME puts the cache's kernel there as NAME/vmlinuz and
// NAME/vmlinux. The exit code is the program's.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/images"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// Exit codes other than the program's own.
const (
	exitLab   = 125 // the lab failed, or the program's time was up
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// options are what the command line says.
type options struct {
	job            lab.Job
	kernels        []string
	initrds        map[string]string // name in the lab to the init
	debian         bool
	console, quiet bool
}

// flags returns the command's flags, which write to o.
func (o *options) flags() *flag.FlagSet {
	j := &o.job
	fs := flag.NewFlagSet("lab", flag.ContinueOnError)
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "usage: lab [flags] -- PROGRAM [ARGUMENT…]\n\nPROGRAM is a static executable or a Go package such as ./cmd/mayfly.\n\nflags:")
		fs.PrintDefaults()
	}
	fs.Func("file", "`NAME:FILE`: give the program FILE under NAME (repeat; NAME alone gives ./NAME)", putPair(j.Files))
	fs.Func("kernel", "give it a kernel of the cache as `NAME`/vmlinuz and NAME/vmlinux (repeat): "+strings.Join(kernels.All(), ", "), appendTo(&o.kernels))
	fs.Func("initrd", "give it an initramfs under `NAME[:INIT]`; INIT is smallest (the default) or testinit (repeat)", func(v string) error {
		name, init, _ := strings.Cut(v, ":")
		o.initrds[name] = cmp.Or(init, "smallest")
		return nil
	})
	fs.Func("disk", "`NAME:FILE`: give the program the disk image FILE as NAME, a block device in the nest; writes are lost (repeat)", putPair(j.Disks))
	fs.BoolVar(&o.debian, "debian", false, "give it the cache's Debian as debian.img, debian/vmlinuz and debian/initrd")
	fs.Func("module", "load the kernel module `NAME` in the nest, such as tun (repeat)", appendTo(&j.Modules))
	fs.Func("get", "bring the file `NAME` back into the current directory (repeat)", appendTo(&j.Collect))
	fs.Func("env", "`NAME=VALUE` for the program (repeat)", appendTo(&j.Env))
	fs.DurationVar(&j.Timeout, "timeout", lab.DefaultTimeout, "the program's `time`")
	fs.StringVar(&j.THP, "thp", "", "transparent huge pages: always, madvise or never")
	fs.IntVar(&j.Memory, "memory", 4096, "the nest's memory in `MiB`")
	fs.StringVar(&j.KernelArgs, "append", "", "more `arguments` for the nest's kernel")
	fs.StringVar(&j.HostKernel, "host-kernel", "", "the nest's `KERNEL`, such as "+kernels.Debian61Cloud)
	fs.BoolVar(&j.Nest, "nest", false, "use the nest even where this machine's KVM would do")
	fs.BoolVar(&o.console, "console", false, "show the nest's console")
	fs.BoolVar(&o.quiet, "q", false, "write nothing but the program's output")
	return fs
}

// putPair returns a flag's function that stores NAME:FILE.
func putPair(in map[string]string) func(string) error {
	return func(v string) error {
		name, host, ok := strings.Cut(v, ":")
		if !ok {
			host, name = v, filepath.Base(v)
		}
		in[name] = host
		return nil
	}
}

// appendTo returns a flag's function that collects values.
func appendTo(list *[]string) func(string) error {
	return func(v string) error {
		*list = append(*list, v)
		return nil
	}
}

func run(ctx context.Context, args []string) (int, error) {
	o := options{initrds: map[string]string{}}
	o.job = lab.Job{Files: map[string]string{}, Disks: map[string]string{}, Stdout: os.Stdout, Stderr: os.Stderr}
	fs := o.flags()
	if err := fs.Parse(args); err != nil {
		return exitUsage, nil
	}
	if fs.NArg() == 0 {
		fs.Usage()
		return exitUsage, nil
	}
	var err error
	if o.job.Program, err = findProgram(ctx, fs.Arg(0)); err != nil {
		return exitLab, err
	}
	o.job.Args = fs.Args()[1:]
	remove, err := o.addFiles(ctx)
	defer remove()
	if err != nil {
		return exitLab, err
	}
	if o.console {
		o.job.Console = os.Stderr
	}
	r, err := lab.Run(ctx, o.job)
	for name, b := range r.Files {
		if werr := os.WriteFile(filepath.Base(name), b, 0o644); werr != nil && err == nil {
			err = werr
		}
	}
	if err != nil {
		return exitLab, err
	}
	o.report(r)
	return r.ExitCode, nil
}

// addFiles adds the kernels, the initramfs files and the Debian to the job. remove
// deletes those that were made for it; it is to be called in any case.
func (o *options) addFiles(ctx context.Context) (remove func(), err error) {
	dir, err := os.MkdirTemp("", "mayfly-initrd-")
	if err != nil {
		return func() {}, err
	}
	remove = func() { os.RemoveAll(dir) }
	j := &o.job
	for _, name := range o.kernels {
		k, err := kernels.Get(ctx, name, os.Stderr)
		if err != nil {
			return remove, err
		}
		j.Files[name+"/vmlinuz"], j.Files[name+"/vmlinux"] = k.Vmlinuz(), k.Vmlinux()
	}
	if o.debian {
		i, err := images.Get(ctx, images.Debian, os.Stderr)
		if err != nil {
			return remove, err
		}
		j.Disks["debian.img"], j.Files["debian/vmlinuz"], j.Files["debian/initrd"] = i.Disk(), i.Kernel(), i.Initrd()
	}
	for name, init := range o.initrds {
		file := filepath.Join(dir, init)
		if err := writeInitrd(ctx, file, init); err != nil {
			return remove, err
		}
		j.Files[name] = file
	}
	return remove, nil
}

// report writes which files are missing, and how the program ended.
func (o *options) report(r lab.Result) {
	for _, name := range o.job.Collect {
		if _, ok := r.Files[name]; !ok {
			fmt.Fprintf(os.Stderr, "lab: the program left no file %s\n", name)
		}
	}
	if o.quiet {
		return
	}
	fmt.Fprintf(os.Stderr, "lab: exit code %d after %v, %v", r.ExitCode, r.Elapsed.Round(time.Millisecond), r.Where)
	if !r.Where.Native {
		fmt.Fprintf(os.Stderr, " (up in %v)", r.Boot.Round(time.Millisecond))
	}
	fmt.Fprintln(os.Stderr)
}

// findProgram builds what is a directory, and takes what is a file.
func findProgram(ctx context.Context, arg string) (string, error) {
	st, err := os.Stat(arg)
	if err != nil {
		return "", fmt.Errorf("lab: program %s: %w; give a static executable or a Go package such as ./cmd/mayfly", arg, err)
	}
	if !st.IsDir() {
		return arg, nil
	}
	if !filepath.IsAbs(arg) && !strings.HasPrefix(arg, "./") {
		arg = "./" + arg
	}
	return lab.Build(ctx, arg)
}

// writeInitrd builds one of the project's own inits and packs it into a file.
func writeInitrd(ctx context.Context, file, init string) error {
	var program string
	var err error
	switch init {
	case "smallest":
		program, err = lab.BuildInit(ctx)
	case "testinit":
		program, err = lab.Build(ctx, "github.com/mayfly-vm/mayfly/guest/testinit")
	default:
		err = fmt.Errorf("lab: no init is called %q; there are smallest and testinit", init)
	}
	if err != nil {
		return err
	}
	return lab.WriteInitramfsFile(file, []lab.Entry{{Name: "init", Host: program}})
}
