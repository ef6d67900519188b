package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/internal/seccomp"
)

// What a defect in a build for tests tries (internal/machine/defect.go), and the system call
// by which the process is killed.
var defects = []struct {
	call string
	err  string // with which it fails in other threads than vCPUs'
	vcpu bool   // only a vCPU's thread is killed for it
}{
	1: {call: "openat"}, {call: "openat"}, {call: "execve"}, {call: "clone"}, {call: "socket"}, {call: "socket"}, {call: "connect"}, {call: "ptrace"},
	{call: "mprotect"}, {call: "mmap"}, {call: "kill"}, {call: "tgkill"}, {call: "ioctl"}, {call: "ioctl"}, {call: "io_uring_setup"}, {call: "bpf"},
	{call: "process_vm_readv"}, {call: "setuid"}, {call: "unshare"}, {call: "call 1073741863"},
	{call: "unlinkat", err: "permission denied"}, // Landlock's, in other threads than vCPUs'
	{call: "clone", vcpu: true}, {call: "ioctl", vcpu: true},
}

// A guest that has found a defect gains nothing that a machine does not need.
func TestDefects(t *testing.T) {
	machinetest.NeedKVM(t)
	dir := t.TempDir()
	build := exec.Command("go", "build", "-tags=defect", "-o", dir+"/", ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	log := openKernelLog(t)
	for n, d := range defects {
		for _, elsewhere := range []int{0, 0x80} {
			if n == 0 || d.vcpu && elsewhere != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%d %s %#x", n, d.call, elsewhere), func(t *testing.T) {
				end, stderr := runDefect(t, dir, byte(n|elsewhere))
				if d.err != "" && elsewhere != 0 {
					if !strings.Contains(stderr, d.err) || !end.Exited() || end.ExitStatus() != 0 {
						t.Errorf("%v: %s", end, stderr)
					}
					return
				}
				if !end.Signaled() || end.Signal() != unix.SIGSYS {
					t.Errorf("it lived on: %v: %s", end, stderr)
				}
				if call, ok := log.killed(); ok && call != d.call {
					t.Errorf("the kernel's log names %s", call)
				}
			})
		}
	}
}

func runDefect(t *testing.T, dir string, n byte) (syscall.WaitStatus, string) {
	t.Helper()
	work := t.TempDir()
	// mov dx, 0x5DE; mov al, n; out dx, al; hlt; jmp to the hlt
	kernel := machinetest.Kernel([]byte{0x66, 0xBA, 0xDE, 0x05, 0xB0, n, 0xEE, 0xF4, 0xEB, 0xFD})
	for name, b := range map[string][]byte{"kernel": kernel, "kept": nil} {
		if err := os.WriteFile(filepath.Join(work, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(dir, "mayfly"), "run", "kernel", "-q")
	cmd.Dir = work
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	_ = cmd.Run()
	if _, err := os.Stat(filepath.Join(work, "kept")); err != nil {
		t.Error("a file was removed:", err)
	}
	if _, err := os.Stat(filepath.Join(work, "defect-was-here")); err == nil {
		t.Error("a file was made")
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus), stderr.String()
}

// kernelLog reads the audit's lines about killed processes.
type kernelLog struct{ fd int }

func openKernelLog(t *testing.T) *kernelLog {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Logf("the calls' names are not compared: %v", err)
		return &kernelLog{-1}
	}
	t.Cleanup(func() { unix.Close(fd) })
	l := &kernelLog{fd}
	_, _ = unix.Seek(fd, 0, unix.SEEK_END)
	return l
}

var auditLine = regexp.MustCompile(`type=1326 .*comm="mayfly".* syscall=(\d+)`)

// killed is the call that the log's last new line about a mayfly names. The kernel leaves
// lines out where there are many.
func (l *kernelLog) killed() (call string, ok bool) {
	b := make([]byte, 8192)
	for l.fd >= 0 {
		n, err := unix.Read(l.fd, b)
		if err == unix.EPIPE { // lines were overwritten
			continue
		}
		if err != nil || n == 0 {
			break
		}
		if m := auditLine.FindSubmatch(b[:n]); m != nil {
			var nr uintptr
			fmt.Sscan(string(m[1]), &nr)
			call, ok = seccomp.Name(nr), true
		}
	}
	return call, ok
}
