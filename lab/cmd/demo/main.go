// Command demo shows in seconds what Mayfly does: it examines this host (mayfly
// doctor), runs the check guest (mayfly check), and boots Debian's own kernel to
// user space, on this machine's KVM if that can run Linux, else on the software
// processor. The picture of where the time went is left in the current directory.
//
//	go run ./lab/cmd/demo        (or: make demo, which installs what is missing)
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// picture is the file that stays, firstLines how many lines of the kernel are shown.
const (
	picture    = "demo-timeline.svg"
	firstLines = 8
)

// initLine is what the guest's init writes.
var initLine = []byte("init")

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
	path, err := companions(ctx)
	if err != nil {
		return err
	}
	d := demo{mayfly: mayfly, path: path}
	heading("mayfly doctor: this host")
	if err := d.run(ctx, os.Stdout, "doctor"); err != nil {
		fmt.Println("(Mayfly does without what is marked FAIL, by the software processor)")
	}
	auto, err := d.auto(ctx)
	if err != nil {
		return err
	}
	heading("mayfly check: is the guest handed over as the PVH ABI says? (%s)", names[auto.Small])
	if err := d.run(ctx, os.Stdout, "check", "--cpu", "auto"); err != nil {
		return err
	}
	heading("mayfly run: Debian's kernel to user space (%s)", names[auto.Linux])
	took, err := d.boot(ctx)
	if err != nil {
		return err
	}
	heading("done")
	fmt.Printf("Debian's kernel reached user space and powered off: %v from exec to the end, by %s.\n", took.Round(10*time.Millisecond), names[auto.Linux])
	wd, err := os.Getwd()
	fmt.Printf("Where the time went is drawn in %s\n", filepath.Join(wd, picture))
	return err
}

func heading(format string, args ...any) { fmt.Printf("\n== "+format+"\n\n", args...) }

// demo is the program that is shown, and the PATH on which it finds its companions.
type demo struct{ mayfly, path string }

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

// run runs mayfly.
func (d demo) run(ctx context.Context, out io.Writer, args ...string) error {
	c := exec.CommandContext(ctx, d.mayfly, args...)
	c.Env = append(os.Environ(), "PATH="+d.path)
	c.Stdout, c.Stderr = out, os.Stderr
	return c.Run()
}

// auto is what the report of mayfly doctor has of --cpu=auto.
type auto struct{ Linux, Small string }

// names are those of processors, for people.
var names = map[string]string{"kvm": "KVM", "soft": "the software processor", "": "no processor"}

func (d demo) auto(ctx context.Context) (auto, error) {
	var text bytes.Buffer
	_ = d.run(ctx, &text, "doctor", "--json") // an exit code of 1 says that something isn't as it could be
	var report struct{ Auto auto }
	if err := json.Unmarshal(text.Bytes(), &report); err != nil {
		return auto{}, fmt.Errorf("the report of mayfly doctor: %w", err)
	}
	return report.Auto, nil
}

// boot runs the kernel and returns how long that took.
func (d demo) boot(ctx context.Context) (time.Duration, error) {
	k, err := kernels.Get(ctx, kernels.Debian612Cloud, os.Stderr)
	if err != nil {
		return 0, err
	}
	init, err := lab.BuildInit(ctx)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "mayfly-demo-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	initrd := filepath.Join(dir, "initrd")
	if err := lab.WriteInitramfsFile(initrd, []lab.Entry{{Name: "init", Host: init}}); err != nil {
		return 0, err
	}
	args := []string{"run", k.Vmlinuz(), "--initrd", initrd, "--cmdline", "-- mark", "--timeline", picture}
	fmt.Printf("mayfly %s\n\n", strings.Join(args, " "))
	console := excerpt{to: os.Stdout}
	begin := time.Now()
	err = d.run(ctx, &console, args...)
	took := time.Since(begin)
	switch fi, serr := os.Stat(picture); {
	case err != nil:
		return 0, fmt.Errorf("mayfly run: %w; docs/cli.md has what its exit codes mean", err)
	case !console.init:
		return 0, errors.New("the kernel ended before its init wrote a line")
	case serr != nil || fi.Size() == 0:
		return 0, errors.New("mayfly run left no picture")
	}
	return took, nil
}
