package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/guest/bench"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/internal/seccomp"
)

// What a defect in a build for tests tries (internal/defect), and the system call
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
	dir := machinetest.ProgramsWith(t, "defect")
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

// Nor does an input that has found a defect in one of the other programs.
func TestDefectsOfCompanions(t *testing.T) {
	dir := machinetest.ProgramsWith(t, "defect")
	for name, c := range map[string]struct {
		args  []string
		fails map[int]string // what the filter allows: the error
	}{
		"mayfly-unpack": {args: []string{"none", "1000"}},
		"mayfly-config": {},
		"mayfly-broker": {args: []string{"socket:" + dir + "/socket"}, fails: map[int]string{5: "<nil>", 7: "non-socket"}}, // Unix sockets are what it is for
		"mayfly-usernet": {args: []string{"-fd", "3", "-isolated"}, fails: map[int]string{
			1: "permission denied", 2: "permission denied", 21: "permission denied", // Landlock's
			6: "<nil>", 7: "non-socket", // the network is what it is for
		}},
	} {
		for n, d := range defects {
			if n == 0 || d.vcpu {
				continue
			}
			t.Run(fmt.Sprintf("%s %d %s", name, n, d.call), func(t *testing.T) {
				end, stderr := runCompanion(t, filepath.Join(dir, name), c.args, n)
				want, lives := c.fails[n]
				if lives && (!end.Exited() || end.ExitStatus() != 0 || !strings.Contains(stderr, want)) {
					t.Errorf("%v: %s", end, stderr)
				}
				if !lives && (!end.Signaled() || end.Signal() != unix.SIGSYS) {
					t.Errorf("it lived on: %v: %s", end, stderr)
				}
			})
		}
	}
}

// runCompanion runs a program as mayfly does, to its defect.
func runCompanion(t *testing.T, path string, args []string, defect int) (syscall.WaitStatus, string) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	defer near.Close()
	defer far.Close()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := exec.Command(path, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Env = t.TempDir(), []string{fmt.Sprintf("MAYFLY_DEFECT=%d", defect)}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = in, out, &stderr, []*os.File{far}
	if err := os.WriteFile(filepath.Join(cmd.Dir, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Run()
	if _, err := os.Stat(filepath.Join(cmd.Dir, "kept")); err != nil {
		t.Error("a file was removed:", err)
	}
	if _, err := os.Stat(filepath.Join(cmd.Dir, "defect-was-here")); err == nil {
		t.Error("a file was made")
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus), stderr.String()
}

// The message about a guest that KVM cannot run on is made under the filter.
func TestGuestThatEndsBadlyIsExplained(t *testing.T) {
	machinetest.NeedKVM(t)
	dir := machinetest.Programs(t)
	// xgetbv, which is undefined here; where KVM emulates, it does not know it
	kernel := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(kernel, machinetest.Kernel([]byte{0x0F, 0x01, 0xD0, 0xEB, 0xFE}), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "mayfly"), "run", kernel, "--cpu=kvm")
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 4 && code != 5 || !strings.Contains(string(out), "rip") {
		t.Errorf("%v: %s", cmd.ProcessState, out)
	}
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

// Under --confine=log no machine with any device or engine makes a call that the
// confinement does not allow.
func TestNoCallIsMissing(t *testing.T) {
	machinetest.NeedKVM(t)
	dir := machinetest.Programs(t)
	const reads, writes = " blk=read,rand,4096,8,60 blk=read,seq,65536,2,40", " blk=write,rand,4096,8,60"
	const vsock = " vsock=tx,52,4096,60 vsock=ping,53,64,60 vsock=rx,54,65536,60"
	for name, c := range map[string]struct {
		args   string
		orders string
	}{
		"no device":       {"", ""},
		"two vCPUs":       {"--cpus 2", ""},
		"restart":         {"--on-reboot restart", ""},
		"watchdog":        {"--watchdog", ""},
		"timeline, stats": {"--timeline t.svg --stats s,every=1", ""},
		"prealloc":        {"--prealloc", ""},
		"map":             {"--load map", ""},
		"disk":            {"--disk disk", reads + writes},
		"disk, PCI":       {"--bus pci --disk disk", reads + writes},
		"io_uring":        {"--disk disk,engine=uring", reads + writes},
		"threads":         {"--disk disk,engine=threads", reads + writes},
		"direct":          {"--disk disk,direct", reads + writes},
		"unsafe":          {"--disk disk,cache=unsafe", reads + writes},
		"read-only":       {"--disk disk,readonly", reads},
		"two queues":      {"--cpus 2 --disk disk,queues=2", reads + writes},
		"limits":          {"--disk disk,ops=2000/s", reads + writes},
		"vsock":           {"--vsock path=v", vsock},
		"vsock, PCI":      {"--bus pci --vsock path=v", vsock},
		"rng":             {"--rng", " rng=512,60"},
		"user network":    {"--net user,isolated", " nettx=60,60"},
		"terminal":        {"--console pty=tty", ""},
		"console":         {"--console socket=c --console file=out,name=log", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logged(t, dir, c.args, c.orders)
		})
	}
}

// logged runs the bench guest and fails for each line about a call.
func logged(t *testing.T, dir, args, orders string) {
	t.Helper()
	work := t.TempDir()
	if err := os.WriteFile(filepath.Join(work, "bench.elf"), bench.ELF, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "disk"), make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	served := serveVsock(t, filepath.Join(work, "v"))
	find := "mmio=0xfeb00000,512,8"
	if strings.Contains(args, "--bus pci") {
		find = "pci"
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	line := append(strings.Fields(args), "--confine=log", "--memory=128", "--cmdline-only", find+" tsc_khz=2000000"+orders)
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "mayfly"), append([]string{"run", "-q", "bench.elf"}, line...)...)
	cmd.Dir = work
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	if strings.Contains(args, "restart") { // without an end
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		cmd = exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = work, &out, &stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGHUP) }
	} else {
		cmd.Args = append(cmd.Args, "--on-reboot=exit")
	}
	err := cmd.Run()
	if !strings.Contains(out.String(), bench.Done) {
		t.Errorf("%v: the guest wrote %q", err, &out)
	}
	for _, order := range strings.Fields(orders) {
		name, _, _ := strings.Cut(order, "=")
		if !strings.Contains(out.String(), "result="+name) {
			t.Errorf("no result of %s: %q", order, &out)
		}
	}
	if strings.Contains(stderr.String(), "confinement") || stderr.Len() > 0 && err == nil {
		t.Errorf("%s", &stderr)
	}
	if strings.Contains(orders, "vsock") && served() == 0 {
		t.Error("nobody connected")
	}
}

// serveVsock serves the guest's ports 52, 53 and 54: it takes all, sends back, and sends
// without end. It returns how many have connected.
func serveVsock(t *testing.T, path string) (served func() int) {
	t.Helper()
	var n atomic.Int64
	for port, serve := range map[string]func(net.Conn){
		"52": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"53": func(c net.Conn) { _, _ = io.Copy(c, c) },
		"54": func(c net.Conn) {
			for err := error(nil); err == nil; {
				_, err = c.Write(make([]byte, 1<<16))
			}
		},
	} {
		l, err := net.Listen("unix", path+"_"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				n.Add(1)
				go func() {
					defer c.Close()
					serve(c)
				}()
			}
		}()
	}
	return func() int { return int(n.Load()) }
}
