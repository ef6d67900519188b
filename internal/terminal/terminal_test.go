package terminal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/terminal"
)

// pty returns both ends of a new pseudo-terminal.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

func settings(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func open(t *testing.T, f *os.File) *terminal.Terminal {
	t.Helper()
	term, err := terminal.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(term.Restore)
	return term
}

func reader(t *testing.T, term *terminal.Terminal, e terminal.Events) *terminal.Reader {
	t.Helper()
	r, err := term.Reader(e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestRawAndBack(t *testing.T) {
	_, slave := pty(t)
	before := settings(t, slave)
	term := open(t, slave)
	if !term.IsTerminal() {
		t.Fatal("a pseudo-terminal is no terminal")
	}
	if s := settings(t, slave); s.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != unix.ISIG {
		t.Fatalf("before anybody takes them, keys must send signals: %+v", s)
	}
	term.TakeKeys()
	raw := settings(t, slave)
	if raw.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || raw.Oflag&unix.OPOST != 0 || raw.Iflag&(unix.ICRNL|unix.IXON) != 0 {
		t.Fatalf("not raw: %+v", raw)
	}

	// The shell had it meanwhile.
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, &before); err != nil {
		t.Fatal(err)
	}
	term.Reapply()
	if settings(t, slave) != raw {
		t.Fatal("Reapply didn't make it raw again")
	}

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(term.Restore)
	}
	wg.Wait()
	if settings(t, slave) != before {
		t.Fatal("not restored")
	}
	term.Reapply()
	if settings(t, slave) != before {
		t.Fatal("raw again after Restore")
	}

	// A second Restore must not undo what others set since.
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, &raw); err != nil {
		t.Fatal(err)
	}
	term.Restore()
	if settings(t, slave) != raw {
		t.Fatal("the second Restore did something")
	}
}

func TestRestoredAfterPanic(t *testing.T) {
	_, slave := pty(t)
	before := settings(t, slave)
	term := open(t, slave)
	func() {
		defer func() {
			if p := recover(); p != "bug" {
				t.Errorf("the panic became %v", p)
			}
			if settings(t, slave) != before {
				t.Error("not restored")
			}
		}()
		defer term.RestoreOnPanic()
		panic("bug")
	}()
}

func TestKeys(t *testing.T) {
	master, slave := pty(t)
	term := open(t, slave)
	term.TakeKeys()
	commands := make(chan string, 8)
	r := reader(t, term, terminal.Events{
		Leave: func() { commands <- "leave" },
		Help:  func() { commands <- "help" },
		Break: func() { commands <- "break" },
	})
	if _, err := master.WriteString("a\x01h\x03\x01bt\x01\x01\r\x01xlost"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != "a\x03t\x01\r" {
		t.Fatalf("the guest got %q, %v", got, err)
	}
	seen := map[string]int{}
	for range 3 {
		seen[<-commands]++ // the end comes after all of them
	}
	if seen["help"] != 1 || seen["leave"] != 1 || seen["break"] != 1 {
		t.Fatalf("commands: %v", seen)
	}
}

// A guest that reads nothing keeps nobody from leaving.
func TestLeaveIsSeenBehindUnreadInput(t *testing.T) {
	master, slave := pty(t)
	term := open(t, slave)
	term.TakeKeys()
	left := make(chan struct{})
	r := reader(t, term, terminal.Events{Leave: func() { close(left) }})
	const much = 100_000
	text := bytes.Repeat([]byte("0123456789"), much/10)
	copy(text[much/2:], "\x01b") // a break waits for its turn
	if _, err := master.Write(append(text, "\x01x"...)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Fatal("Ctrl-A x wasn't seen")
	}
	got, err := io.ReadAll(r)
	if err != nil || len(got) != much-2 || !bytes.HasPrefix(got, text[:much/2]) || !bytes.HasSuffix(got, text[much/2+2:]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

// What is pasted beyond all measure is held up, and not lost.
func TestNothingTypedIsLost(t *testing.T) {
	master, slave := pty(t)
	term := open(t, slave)
	term.TakeKeys()
	r := reader(t, term, terminal.Events{})
	text := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	go func() {
		_, _ = master.Write(text)
		_, _ = io.WriteString(master, "\x01x")
	}()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(text), err)
	}
}

func TestCloseEndsRead(t *testing.T) {
	_, slave := pty(t)
	r := reader(t, open(t, slave), terminal.Events{})
	done := make(chan error)
	go func() {
		_, err := r.Read(make([]byte, 1))
		done <- err
	}()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != io.EOF {
		t.Fatal(err)
	}
}

func TestSmallReads(t *testing.T) {
	master, slave := pty(t)
	r := reader(t, open(t, slave), terminal.Events{})
	if _, err := master.WriteString("ab\x01fcd\x01h\x01b\x01x"); err != nil {
		t.Fatal(err)
	}
	var got []byte
	p := make([]byte, 1)
	for {
		n, err := r.Read(p)
		got = append(got, p[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != "ab\x01fcd" {
		t.Fatalf("got %q", got)
	}
}

func TestHangUpEndsInput(t *testing.T) {
	master, slave := pty(t)
	r := reader(t, open(t, slave), terminal.Events{})
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("Read %d, %v", n, err)
	}
}

func TestWithoutTerminal(t *testing.T) {
	for _, c := range []struct {
		name string
		in   func(t *testing.T) *os.File
		want string
	}{
		{"/dev/null", func(t *testing.T) *os.File {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}, ""},
		{"closed", func(t *testing.T) *os.File {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			return f
		}, ""},
		{"directory", func(t *testing.T) *os.File {
			f, err := os.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			return f
		}, ""},
		{"file", func(t *testing.T) *os.File {
			name := filepath.Join(t.TempDir(), "in")
			if err := os.WriteFile(name, []byte("a\x01xb"), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}, "a\x01xb"},
		{"pipe", func(t *testing.T) *os.File {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = w.WriteString("poweroff\n\x01x")
			_ = w.Close()
			return r
		}, "poweroff\n\x01x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.in(t)
			t.Cleanup(func() { _ = f.Close() })
			term := open(t, f)
			if term.IsTerminal() {
				t.Fatal("taken for a terminal")
			}
			r := reader(t, term, terminal.Events{Leave: func() { t.Error("a command from no terminal") }})
			got, err := io.ReadAll(r)
			if err != nil || string(got) != c.want {
				t.Fatalf("read %q, %v; want %q", got, err, c.want)
			}
			term.Restore()
		})
	}
}

func TestDeadlineInterruptsRead(t *testing.T) {
	master, slave := pty(t)
	r := reader(t, open(t, slave), terminal.Events{})
	done := make(chan error)
	go func() {
		_, err := r.Read(make([]byte, 1))
		done <- err
	}()
	if err := r.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Read: %v", err)
	}
	if err := r.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Read: %v", err)
	}
	if err := r.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := master.WriteString("k"); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1)
	if n, err := r.Read(p); n != 1 || err != nil || p[0] != 'k' {
		t.Fatalf("Read %q, %v", p[:n], err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(p); n != 0 || err != io.EOF {
		t.Fatalf("Read of a closed reader: %d, %v", n, err)
	}
	if err := errors.Join(r.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestBackgroundJob runs this test again in the background of a session of its
// own, where touching the terminal would stop it.
func TestBackgroundJob(t *testing.T) {
	if os.Getenv("MAYFLY_TEST_BACKGROUND") != "" {
		background(t)
		return
	}
	_, slave := pty(t)
	before := settings(t, slave)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The first process leads the session and stays in the foreground; the
	// second is the background job.
	cmd := exec.Command(exe, "-test.run=^TestBackgroundJob$", "-test.v")
	cmd.Env = append(os.Environ(), "MAYFLY_TEST_BACKGROUND=leader")
	cmd.Stdin = slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("job is done")) {
		t.Fatalf("%v\n%s", err, out)
	}
	if settings(t, slave) != before {
		t.Fatal("a background job changed the terminal")
	}
}

func background(t *testing.T) {
	if os.Getenv("MAYFLY_TEST_BACKGROUND") == "leader" {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe, "-test.run=^TestBackgroundJob$", "-test.v")
		cmd.Env = append(os.Environ(), "MAYFLY_TEST_BACKGROUND=job")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil {
			t.Fatal(err)
		}
		if status.Stopped() {
			_ = cmd.Process.Kill()
			t.Fatalf("the job was stopped by %v", status.StopSignal())
		}
		if status.ExitStatus() != 0 {
			t.Fatalf("the job ended with %d", status.ExitStatus())
		}
		return
	}
	term := open(t, os.Stdin)
	if !term.IsTerminal() {
		t.Fatal("no terminal")
	}
	if got, err := io.ReadAll(reader(t, term, terminal.Events{})); err != nil || len(got) != 0 {
		t.Fatalf("read %q, %v", got, err)
	}
	term.Restore()
	fmt.Println("job is done")
}
