package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// However few files may be open, a start succeeds or names the limit.
func TestFewOpenFiles(t *testing.T) {
	machinetest.NeedKVM(t)
	programs := machinetest.Programs(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "check.elf"), check.ELF, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.img", "b.img"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 1<<20), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, args := range map[string]string{
		"plain":    "",
		"disks":    "--disk a.img --disk b.img",
		"net":      "--net user",
		"vsock":    "--vsock v.sock",
		"pty":      "--console pty=p.link",
		"socket":   "--console socket=s.sock",
		"timeline": "--timeline t.svg",
		"all":      "--disk a.img --disk b.img --net user --vsock v.sock --console pty=p.link --console socket=s.sock --rng --cpus 2",
	} {
		t.Run(name, func(t *testing.T) {
			const most = 50
			args := append([]string{"run", "-q", "check.elf", "--cmdline", check.Cmdline(check.Options{NoChecks: true})}, strings.Fields(args)...)
			for n := 3; n <= most; n++ {
				var out bytes.Buffer
				cmd := exec.Command("sh", append([]string{"-c", fmt.Sprintf("ulimit -n %d && exec \"$0\" \"$@\"", n), filepath.Join(programs, flags.Name)}, args...)...)
				cmd.Dir, cmd.Stderr = dir, &out
				err := cmd.Run()
				if err == nil {
					if n > 16 {
						return
					}
					continue
				}
				var ended *exec.ExitError
				if !errors.As(err, &ended) || ended.ExitCode() != exit.Error || !strings.Contains(out.String(), "RLIMIT_NOFILE") || strings.Contains(out.String(), "goroutine") {
					t.Fatalf("with %d files: %v: %s", n, err, out.String())
				}
			}
			t.Errorf("it doesn't start with %d files either", most)
		})
	}
}
