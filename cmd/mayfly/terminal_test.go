package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// started is a machine on a terminal of its own.
type started struct {
	t    *testing.T
	cmd  *exec.Cmd
	host *os.File // the user's end of the terminal
	tty  *os.File
	old  *unix.Termios
	seen bytes.Buffer
}

func startOnTerminal(t *testing.T, o check.Options) *started {
	machinetest.NeedKVM(t)
	elf := filepath.Join(t.TempDir(), "check.elf")
	if err := os.WriteFile(elf, check.ELF, 0o644); err != nil {
		t.Fatal(err)
	}
	host, tty := openTerminal(t)
	old, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	mayfly, err := exec.LookPath(flags.Name) // testscript.Main puts this test there
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(mayfly, "run", elf, "--cmdline", check.Cmdline(o))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &started{t: t, cmd: cmd, host: host, tty: tty, old: old}
}

func openTerminal(t *testing.T) (host, tty *os.File) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	host = os.NewFile(uintptr(fd), "ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close(); tty.Close() })
	return host, tty
}

// await reads what the user sees until it holds text.
func (s *started) await(text string) {
	s.t.Helper()
	buf := make([]byte, 4096)
	if err := s.host.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	for !bytes.Contains(s.seen.Bytes(), []byte(text)) {
		n, err := s.host.Read(buf)
		s.seen.Write(buf[:n])
		if err != nil {
			s.t.Fatalf("waiting for %q: %v; seen:\n%s", text, err, s.seen.Bytes())
		}
	}
}

func (s *started) press(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.host, keys); err != nil {
		s.t.Fatal(err)
	}
}

// end waits for the program's end and checks its code and that the terminal is what it was.
func (s *started) end(code int) {
	s.t.Helper()
	_ = s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit code %d, want %d; seen:\n%s", got, code, s.seen.Bytes())
	}
	now, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	if *now != *s.old {
		s.t.Errorf("the terminal was not restored:\n got %+v\nwant %+v", *now, *s.old)
	}
}

func TestTypedKeysReachTheGuestAndCtrlAXLeaves(t *testing.T) {
	s := startOnTerminal(t, check.Options{NoChecks: true, Echo: true})
	s.await("1..0")
	s.press("hello\x03") // in a raw terminal Ctrl-C is the guest's
	s.await("hello\x03")
	s.press("\x01h")
	s.await("Ctrl-A x")
	s.press("[\x01b]")
	s.await("[\x00]") // a UART receives a break as a zero
	s.press("\x01x")
	s.await("the machine was killed")
	s.end(exit.OK)
}

func TestFirstSignalPressesTheButton(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		s := startOnTerminal(t, check.Options{NoChecks: true, End: check.Button})
		s.await("1..0")
		if err := s.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		s.await("the guest powered off")
		s.end(exit.OK)
	}
}

func TestSecondSignalKills(t *testing.T) {
	for _, c := range []struct {
		sig  syscall.Signal
		code int
	}{{syscall.SIGINT, exit.Signal + 2}, {syscall.SIGTERM, exit.Signal + 15}} {
		s := startOnTerminal(t, check.Options{NoChecks: true, Echo: true})
		s.await("1..0")
		if err := s.cmd.Process.Signal(c.sig); err != nil {
			t.Fatal(err)
		}
		s.await("power button")
		if err := s.cmd.Process.Signal(c.sig); err != nil {
			t.Fatal(err)
		}
		s.await("the machine was killed")
		s.end(c.code)
	}
}

func TestHangupKills(t *testing.T) {
	s := startOnTerminal(t, check.Options{NoChecks: true, Echo: true})
	s.await("1..0")
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await("the machine was killed")
	s.end(exit.Signal + 1)
}
