// Command demo shows in a minute or two what Mayfly does: it examines this host
// (mayfly doctor), runs the check guest (mayfly check), and boots Debian's own
// kernel to user space, on this machine's KVM if that can run Linux, else in
// the nest. The picture of where the time went is left in the current
// directory.
//
//	go run ./lab/cmd/demo        (or: make demo, which installs what is missing)
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// picture is the file that stays.
const picture = "demo-timeline.svg"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	mayfly, err := lab.Build(ctx, "./cmd/mayfly")
	if err != nil {
		return err
	}
	where, err := lab.Where()
	if err != nil {
		return err
	}
	programs, err := companions(ctx)
	if err != nil {
		return err
	}
	heading("mayfly doctor: this host")
	if err := here(ctx, programs, mayfly, "doctor"); err != nil {
		fmt.Println("(the nest does for this demo what this host can't)")
	}
	heading("mayfly check: is the guest handed over as the PVH ABI says?")
	if err := check(ctx, programs, mayfly); err != nil {
		return err
	}
	heading("mayfly run: Debian's kernel to user space, %v", where)
	took, err := boot(ctx, programs, mayfly)
	if err != nil {
		return err
	}
	heading("done")
	fmt.Printf("Debian's kernel reached user space and powered off: %v from exec to the end, %v.\n", took.Round(10*time.Millisecond), where)
	if !where.Native {
		fmt.Println("The nest is emulated: its times compare with one another only, not with those of a machine.")
	}
	wd, err := os.Getwd()
	fmt.Printf("Where the time went is drawn in %s\n", filepath.Join(wd, picture))
	return err
}

func heading(format string, args ...any) { fmt.Printf("\n== "+format+"\n\n", args...) }

// companions builds the programs that mayfly runs, and returns a PATH on which it
// finds them first.
func companions(ctx context.Context) (string, error) {
	path := os.Getenv("PATH")
	for _, name := range []string{"mayfly-unpack", "mayfly-config", "mayfly-usernet", "mayfly-broker", "mayfly-syscalls", "mayfly-doc"} {
		program, err := lab.Build(ctx, "./cmd/"+name)
		if err != nil {
			return "", err
		}
		path = filepath.Dir(program) + string(os.PathListSeparator) + path
	}
	return path, nil
}

func here(ctx context.Context, path, mayfly string, args ...string) error {
	c := exec.CommandContext(ctx, mayfly, args...)
	c.Env = append(os.Environ(), "PATH="+path)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
}

// check runs natively wherever there is a KVM, since its guest needs so little,
// else in the nest.
func check(ctx context.Context, path, mayfly string) error {
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
		f.Close()
		return here(ctx, path, mayfly, "check")
	} else {
		fmt.Printf("in the nest, since %v\n", err)
	}
	r, err := lab.Run(ctx, lab.Job{Program: mayfly, Args: []string{"check"}, Stdout: os.Stdout, Stderr: os.Stderr})
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("mayfly check ended with code %d", r.ExitCode)
	}
	return err
}

// boot runs the kernel and returns how long that took.
func boot(ctx context.Context, programs, mayfly string) (time.Duration, error) {
	k, err := kernels.Get(ctx, kernels.Debian612Cloud, os.Stderr)
	if err != nil {
		return 0, err
	}
	initrd, err := initramfs(ctx)
	if err != nil {
		return 0, err
	}
	defer os.Remove(initrd)
	unpack, err := lab.Build(ctx, "./cmd/mayfly-unpack")
	if err != nil {
		return 0, err
	}
	r, err := lab.Run(ctx, lab.Job{
		Program: mayfly,
		Args:    []string{"run", "vmlinuz", "--initrd", "initrd", "--cpus", "2", "--cmdline", "-- mark", "--timeline", picture},
		Files:   map[string]string{"vmlinuz": k.Vmlinuz(), "initrd": initrd, "mayfly-unpack": unpack},
		Env:     environment(programs),
		Collect: []string{picture},
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Timeout: 3 * time.Minute,
	})
	if err != nil {
		return 0, err
	}
	switch svg := r.Files[picture]; {
	case r.ExitCode != 0:
		return 0, fmt.Errorf("mayfly run ended with code %d; docs/cli.md has what it means", r.ExitCode)
	case !bytes.Contains(r.Output, []byte("\ninit\r\n")) && !bytes.Contains(r.Output, []byte("\ninit\n")):
		return 0, errors.New("the kernel ended before its init wrote a line")
	case len(svg) == 0:
		return 0, errors.New("mayfly run left no picture")
	default:
		return r.Elapsed, os.WriteFile(picture, svg, 0o644)
	}
}

// environment lets mayfly find its companions: in the nest the job's own folder is
// on the PATH, here that of companions.
func environment(programs string) []string {
	if w, err := lab.Where(); err != nil || !w.Native {
		return nil
	}
	return []string{"PATH=" + programs}
}

// initramfs writes one that holds the smallest init, which says "init" and
// powers off.
func initramfs(ctx context.Context) (string, error) {
	init, err := lab.BuildInit(ctx)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp("", "mayfly-demo-*.cpio")
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(lab.WriteInitramfs(f, []lab.Entry{{Name: "init", Host: init}}), f.Close())
}
