package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// Each companion holds no descriptor but what it needs, and no privilege, by the
// time that it reads its input.
func TestCompanionsAreConfined(t *testing.T) { testConfined(t, machinetest.Programs(t)) }

// Also where they are built with cgo, as go install does.
func TestCompanionsWithCgoAreConfined(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("cgo needs gcc")
	}
	if os.Getenv(machinetest.ProgramsDir) != "" {
		t.Skip("this user can't build")
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+"/", "../mayfly-unpack", "../mayfly-config", "../mayfly-usernet")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the programs: %v\n%s", err, out)
	}
	testConfined(t, dir)
}

func testConfined(t *testing.T, dir string) {
	t.Helper()
	for name, c := range map[string]struct {
		args  []string
		fds   int // that it may hold from 3 on, other than the Go runtime's
		input string
	}{
		"mayfly-unpack":  {args: []string{"none", "100000000"}, input: strings.Repeat("\x7fELF", 1<<18)},
		"mayfly-config":  {input: strings.Repeat(" ", 1<<19)},
		"mayfly-usernet": {args: []string{"-fd", "3", "-isolated"}, fds: 1, input: strings.Repeat("\x00\x00\x00\x0eEthernet frame", 1<<16)},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			near, far := os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
			defer near.Close()
			cmd := exec.Command(filepath.Join(dir, name), c.args...)
			stray, err := os.Open("/etc/passwd")
			if err != nil {
				t.Fatal(err)
			}
			defer stray.Close()
			var stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr, cmd.Env = out, &stderr, []string{}
			if cmd.ExtraFiles = []*os.File{far, stray}; c.fds == 0 {
				cmd.Stdin, cmd.ExtraFiles = far, []*os.File{stray}
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waited := false
			defer func() {
				near.Close()
				if !waited {
					cmd.Process.Kill()
					cmd.Wait()
				}
			}()
			far.Close()
			// More than the socket holds: when it is written, the program reads.
			if _, err := near.WriteString(c.input); err != nil {
				waited = true
				end := cmd.Wait() // nothing reads any more: its message has the reason
				t.Fatalf("%v: the program ended: %v: %s", err, end, &stderr)
			}
			checkConfined(t, cmd.Process.Pid, c.fds)
		})
	}
}

func checkConfined(t *testing.T, pid, most int) {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	var held []string
	for _, e := range entries {
		at, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
		if len(e.Name()) == 1 && e.Name() < "3" || strings.HasPrefix(at, "anon_inode:") {
			continue
		}
		held = append(held, at)
	}
	if len(held) > most {
		t.Errorf("it holds %q", held)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
}
