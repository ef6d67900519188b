// Command traceinit is an init that traces a child as a debugger does: single steps, and breakpoints of code and
// data in debug registers. It writes a line for each, "trace: ok …" or "trace: not ok …", and powers the machine off.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watched is what the child writes to, once.
var watched uint64

const written = 0x1234_5678

// The child writes in its first thread, which is the one that is traced: that is the one that executes init.
func init() {
	if len(os.Args) == 2 && os.Args[1] == "child" {
		watched = written
		os.Exit(7)
	}
}

func main() {
	runtime.LockOSThread()
	_ = unix.Mount("proc", "/proc", "proc", 0, "")
	for name, check := range map[string]func() error{"single steps": steps, "a code breakpoint": codeBreakpoint, "a data breakpoint": dataBreakpoint} {
		if err := check(); err != nil {
			fmt.Printf("trace: not ok %s: %v\n", name, err)
		} else {
			fmt.Printf("trace: ok %s\n", name)
		}
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// start starts a child, which stops before its first instruction.
func start() (pid int, err error) {
	p, err := os.StartProcess("/init", []string{"/init", "child"}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Ptrace: true}})
	if err != nil {
		return 0, err
	}
	return p.Pid, trapped(p.Pid)
}

// trapped waits for the child's SIGTRAP.
func trapped(pid int) error {
	for {
		var w unix.WaitStatus
		if _, err := unix.Wait4(pid, &w, unix.WALL, nil); err != nil {
			return err
		}
		switch {
		case w.Stopped() && w.StopSignal() == unix.SIGTRAP:
			return nil
		case !w.Stopped():
			return fmt.Errorf("the child ended: %#x", w)
		}
		if err := unix.PtraceCont(pid, int(w.StopSignal())); err != nil {
			return err
		}
	}
}

func rip(pid int) (uint64, error) {
	var r unix.PtraceRegs
	err := unix.PtraceGetRegs(pid, &r)
	return r.Rip, err
}

// path are the addresses of a child's first instructions.
func path(pid, n int) (list []uint64, err error) {
	for range n {
		at, err := rip(pid)
		if err != nil {
			return nil, err
		}
		list = append(list, at)
		if err := unix.PtraceSingleStep(pid); err != nil {
			return nil, err
		}
		if err := trapped(pid); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func kill(pid int) {
	_ = unix.Kill(pid, unix.SIGKILL)
	_, _ = unix.Wait4(pid, nil, unix.WALL, nil)
}

const stepped = 200

func steps() error {
	pid, err := start()
	if err != nil {
		return err
	}
	defer kill(pid)
	list, err := path(pid, stepped)
	if err != nil {
		return err
	}
	moved := 0
	for i := 1; i < len(list); i++ {
		if list[i] != list[i-1] {
			moved++
		}
	}
	if moved < stepped/2 {
		return fmt.Errorf("%d steps went on at %d addresses", stepped, moved)
	}
	return nil
}

// setDR sets a debug register of the child: struct user's u_debugreg.
func setDR(pid, n int, v uint64) error {
	const debugRegisters = 848
	_, _, e := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_POKEUSR, uintptr(pid), uintptr(debugRegisters+8*n), uintptr(v), 0, 0)
	if e != 0 {
		return fmt.Errorf("DR%d: %w", n, e)
	}
	return nil
}

func codeBreakpoint() error {
	pid, err := start()
	if err != nil {
		return err
	}
	list, err := path(pid, stepped)
	kill(pid)
	if err != nil {
		return err
	}
	if pid, err = start(); err != nil {
		return err
	}
	defer kill(pid)
	want := list[len(list)-1]
	if err := errors.Join(setDR(pid, 0, want), setDR(pid, 7, 1), unix.PtraceCont(pid, 0)); err != nil {
		return err
	}
	if err := trapped(pid); err != nil {
		return err
	}
	if at, err := rip(pid); err != nil || at != want {
		return fmt.Errorf("it stopped at %#x, not at %#x: %v", at, want, err)
	}
	return nil
}

func dataBreakpoint() error {
	pid, err := start()
	if err != nil {
		return err
	}
	defer kill(pid)
	const write8 = 1<<16 | 2<<18
	if err := errors.Join(setDR(pid, 1, uint64(uintptr(unsafe.Pointer(&watched)))), setDR(pid, 7, 1<<2|write8<<4), unix.PtraceCont(pid, 0)); err != nil {
		return err
	}
	if err := trapped(pid); err != nil {
		return err
	}
	b := make([]byte, 8)
	if _, err := unix.PtracePeekData(pid, uintptr(unsafe.Pointer(&watched)), b); err != nil {
		return err
	}
	if v := *(*uint64)(unsafe.Pointer(&b[0])); v != written {
		return fmt.Errorf("it stopped with %#x written", v)
	}
	return nil
}
