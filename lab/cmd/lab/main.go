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
	"context"
	"errors"
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

// Exit codes beside the program's own.
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

func run(ctx context.Context, args []string) (int, error) {
	j := lab.Job{Files: map[string]string{}, Disks: map[string]string{}, Stdout: os.Stdout, Stderr: os.Stderr}
	var kernelNames, collect []string
	initrds := map[string]string{}
	fs := flag.NewFlagSet("lab", flag.ContinueOnError)
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "usage: lab [flags] -- PROGRAM [ARGUMENT…]\n\nPROGRAM is a static executable or a Go package such as ./cmd/mayfly.\n\nflags:")
		fs.PrintDefaults()
	}
	fs.Func("file", "`NAME:FILE`: give the program FILE under NAME (repeat; NAME alone gives ./NAME)", func(v string) error {
		name, host, ok := strings.Cut(v, ":")
		if !ok {
			host, name = v, filepath.Base(v)
		}
		j.Files[name] = host
		return nil
	})
	fs.Func("kernel", "give it a kernel of the cache as `NAME`/vmlinuz and NAME/vmlinux (repeat): "+strings.Join(kernels.All(), ", "), func(v string) error {
		kernelNames = append(kernelNames, v)
		return nil
	})
	fs.Func("initrd", "give it an initramfs under `NAME[:INIT]`; INIT is smallest (the default) or testinit (repeat)", func(v string) error {
		name, init, _ := strings.Cut(v, ":")
		initrds[name] = init
		return nil
	})
	fs.Func("disk", "`NAME:FILE`: give the program the disk image FILE as NAME, a block device in the nest; writes are lost (repeat)", func(v string) error {
		name, host, ok := strings.Cut(v, ":")
		if !ok {
			host, name = v, filepath.Base(v)
		}
		j.Disks[name] = host
		return nil
	})
	debian := fs.Bool("debian", false, "give it the cache's Debian as debian.img, debian/vmlinuz and debian/initrd")
	fs.Func("module", "load the kernel module `NAME` in the nest, such as tun (repeat)", func(v string) error {
		j.Modules = append(j.Modules, v)
		return nil
	})
	fs.Func("get", "bring the file `NAME` back into the current directory (repeat)", func(v string) error {
		collect = append(collect, v)
		return nil
	})
	fs.Func("env", "`NAME=VALUE` for the program (repeat)", func(v string) error {
		j.Env = append(j.Env, v)
		return nil
	})
	fs.DurationVar(&j.Timeout, "timeout", lab.DefaultTimeout, "the program's `time`")
	fs.StringVar(&j.THP, "thp", "", "transparent huge pages: always, madvise or never")
	fs.IntVar(&j.Memory, "memory", 4096, "the nest's memory in `MiB`")
	fs.StringVar(&j.KernelArgs, "append", "", "more `arguments` for the nest's kernel")
	fs.BoolVar(&j.Nest, "nest", false, "use the nest even where this machine's KVM would do")
	console := fs.Bool("console", false, "show the nest's console")
	quiet := fs.Bool("q", false, "say nothing but what the program says")
	if err := fs.Parse(args); err != nil {
		return exitUsage, nil
	}
	if fs.NArg() == 0 {
		fs.Usage()
		return exitUsage, nil
	}
	program, err := findProgram(ctx, fs.Arg(0))
	if err != nil {
		return exitLab, err
	}
	for _, name := range kernelNames {
		k, err := kernels.Get(ctx, name, os.Stderr)
		if err != nil {
			return exitLab, err
		}
		j.Files[name+"/vmlinuz"], j.Files[name+"/vmlinux"] = k.Vmlinuz(), k.Vmlinux()
	}
	if *debian {
		i, err := images.Get(ctx, os.Stderr)
		if err != nil {
			return exitLab, err
		}
		j.Disks["debian.img"], j.Files["debian/vmlinuz"], j.Files["debian/initrd"] = i.Disk(), i.Kernel(), i.Initrd()
	}
	for name, init := range initrds {
		file, err := writeInitrd(ctx, init)
		if err != nil {
			return exitLab, err
		}
		defer os.Remove(file)
		j.Files[name] = file
	}
	j.Program, j.Args, j.Collect = program, fs.Args()[1:], collect
	if *console {
		j.Console = os.Stderr
	}
	r, err := lab.Run(ctx, j)
	for name, b := range r.Files {
		if werr := os.WriteFile(filepath.Base(name), b, 0o644); werr != nil && err == nil {
			err = werr
		}
	}
	if err != nil {
		return exitLab, err
	}
	for _, name := range collect {
		if _, ok := r.Files[name]; !ok {
			fmt.Fprintf(os.Stderr, "lab: the program left no file %s\n", name)
		}
	}
	if !*quiet {
		fmt.Fprintf(os.Stderr, "lab: exit code %d after %v, %v", r.ExitCode, r.Elapsed.Round(time.Millisecond), r.Where)
		if !r.Where.Native {
			fmt.Fprintf(os.Stderr, " (up in %v)", r.Boot.Round(time.Millisecond))
		}
		fmt.Fprintln(os.Stderr)
	}
	return r.ExitCode, nil
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

// writeInitrd builds one of the project's own inits and packs it.
func writeInitrd(ctx context.Context, init string) (string, error) {
	var program string
	var err error
	switch init {
	case "", "smallest":
		program, err = lab.BuildInit(ctx)
	case "testinit":
		program, err = lab.Build(ctx, "github.com/mayfly-vm/mayfly/guest/testinit")
	default:
		err = fmt.Errorf("lab: no init is called %q; there are smallest and testinit", init)
	}
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp("", "mayfly-initrd-")
	if err != nil {
		return "", err
	}
	err = errors.Join(lab.WriteInitramfs(f, []lab.Entry{{Name: "init", Host: program}}), f.Close())
	return f.Name(), err
}
