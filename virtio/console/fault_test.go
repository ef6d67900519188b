package console_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// reported collects what a device reports.
type reported struct {
	mu   sync.Mutex
	errs []error
}

func (r *reported) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

func (r *reported) all() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.errs...)
}

// TestLostOutput: what an output that must arrive doesn't take is counted, and the
// cause is known while the machine runs and after.
func TestLostOutput(t *testing.T) {
	gone := func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		t.Cleanup(func() { w.Close() })
		return w
	}
	for _, tt := range []struct {
		name string
		port func(t *testing.T) console.Port
		want error
	}{
		{"file on a full disk", func(*testing.T) console.Port { return console.Port{File: "/dev/full"} }, unix.ENOSPC},
		{"port on a full disk", func(*testing.T) console.Port { return console.Port{Name: "log", File: "/dev/full"} }, unix.ENOSPC},
		{"pipe without a reader", func(t *testing.T) console.Port { return console.Port{Out: gone(t)} }, unix.EPIPE},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r reported
			p := tt.port(t)
			p.Console = p.Name == ""
			dev, err := console.New(console.Config{Ports: []console.Port{p}, Report: r.report})
			if err != nil {
				t.Fatal(err)
			}
			defer dev.Close()
			d := virtiotest.New(t, dev, virtiotest.Options{})
			const n, size = 20, 4096
			for range n {
				d.Queue(1).Do([][]byte{make([]byte, size)}, nil)
			}
			machinetest.Until(t, "report", func() bool { return len(r.all()) == 1 })
			if err := dev.Close(); !errors.Is(err, tt.want) {
				t.Errorf("Close: %v", err)
			}
			if s := dev.Stats(); s.Failed == 0 || s.Failed != s.Lost || s.Lost > n*size {
				t.Errorf("%+v", s)
			}
			if _, err := dev.Lost(); !errors.Is(err, tt.want) || !errors.Is(r.all()[0], tt.want) {
				t.Errorf("cause %v, reported %v", err, r.all())
			}
		})
	}
}

func TestLimit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out sink
	for _, p := range []console.Port{{Console: true, File: file, Limit: 15}, {Console: true, Out: &out, Limit: 5}} {
		for range 2 { // the second machine finds a full file, and another Out
			dev, err := console.New(console.Config{Ports: []console.Port{p}})
			if err != nil {
				t.Fatal(err)
			}
			d := virtiotest.New(t, dev, virtiotest.Options{})
			for _, s := range []string{"ab", "cdefgh", "ij"} {
				d.Queue(1).Do([][]byte{[]byte(s)}, nil)
			}
			d.Instance().Close()
			if err := dev.Close(); err == nil || !strings.Contains(err.Error(), "limit of ") {
				t.Errorf("Close: %v", err)
			}
			if s := dev.Stats(); s.Failed+s.FromGuest != 10 {
				t.Errorf("%+v", s)
			}
		}
	}
	if b, _ := os.ReadFile(file); string(b) != "0123456789abcde" {
		t.Errorf("file %q", b)
	}
	if s := out.String(); s != "abcdeabcde" {
		t.Errorf("out %q", s)
	}
	if err := (&console.Config{Ports: []console.Port{{Console: true, PTY: "x", Limit: 1}}}).Check(); err == nil {
		t.Error("a limit of a terminal is accepted")
	}
}

// TestFIFO: one without a reader is an error at once, one with a reader works.
func TestFIFO(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := console.Config{Ports: []console.Port{{Console: true, File: fifo}}}
	if _, err := console.New(cfg); err == nil || !strings.Contains(err.Error(), fifo+" is a FIFO that nobody reads") {
		t.Fatalf("error %v", err)
	}
	r, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	d := virtiotest.New(t, dev, virtiotest.Options{})
	d.Queue(1).Do([][]byte{[]byte("hello")}, nil)
	var b [5]byte
	if n, err := r.Read(b[:]); err != nil || string(b[:n]) != "hello" {
		t.Fatalf("%q %v", b[:n], err)
	}
	r.Close()
	d.Queue(1).Do([][]byte{[]byte("lost")}, nil)
	if err := dev.Close(); !errors.Is(err, unix.EPIPE) || dev.Stats().Failed != 4 {
		t.Errorf("%v, %+v", err, dev.Stats())
	}
}

// TestPTYLink: the link of a running machine is its own; one that an ended machine
// left is replaced, also when the kernel gave the terminal's number to another.
func TestPTYLink(t *testing.T) {
	link := filepath.Join(t.TempDir(), "tty")
	cfg := console.Config{Ports: []console.Port{{Console: true, PTY: link}}}
	first, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := console.New(cfg); err == nil || !strings.Contains(err.Error(), "the terminal of a running machine") {
		t.Fatalf("error %v", err)
	}
	if to, _ := os.Readlink(link); to != first.PTY(0) {
		t.Fatalf("the link leads to %q", to)
	}
	first.Close()

	foreign, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	name := slaveName(t, foreign)
	for _, stale := range []string{"/dev/pts/999999", name} {
		if err := os.Symlink(stale, link); err != nil {
			t.Fatal(err)
		}
		next, err := console.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if to, _ := os.Readlink(link); to != next.PTY(0) {
			t.Errorf("the link leads to %q", to)
		}
		next.Close()
	}
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	if _, err := console.New(cfg); err == nil || !strings.Contains(err.Error(), "not a link to a terminal") {
		t.Errorf("error %v", err)
	}
}

// TestPTYLinkOnce has many machines take over one stale link.
func TestPTYLinkOnce(t *testing.T) {
	dir := t.TempDir()
	for round := range 100 {
		link := filepath.Join(dir, strconv.Itoa(round))
		if err := os.Symlink("/dev/pts/999999", link); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		devices := make([]*console.Device, 8)
		for i := range devices {
			wg.Go(func() { devices[i], _ = console.New(console.Config{Ports: []console.Port{{Console: true, PTY: link}}}) })
		}
		wg.Wait()
		n := 0
		for _, d := range devices {
			if d != nil {
				n++
				d.Close()
			}
		}
		if n != 1 {
			t.Fatalf("round %d: %d machines have one link", round, n)
		}
	}
}

// TestPTYLinkOfDeadProcess: a process that was killed leaves its link.
func TestPTYLinkOfDeadProcess(t *testing.T) {
	link := filepath.Join(t.TempDir(), "tty")
	cfg := console.Config{Ports: []console.Port{{Console: true, PTY: link}}}
	if os.Getenv("CONSOLE_TEST_LINK") != "" {
		cfg.Ports[0].PTY = os.Getenv("CONSOLE_TEST_LINK")
		if _, err := console.New(cfg); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("ready\n")
		select {}
	}
	c := exec.Command(os.Args[0], "-test.run=^TestPTYLinkOfDeadProcess$")
	c.Env = append(os.Environ(), "CONSOLE_TEST_LINK="+link)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var b [6]byte
	_, err = out.Read(b[:])
	_, busy := console.New(cfg)
	_ = c.Process.Kill()
	_ = c.Wait()
	if err != nil || busy == nil || !strings.Contains(busy.Error(), "running machine") {
		t.Fatalf("%v; while the other lived: %v", err, busy)
	}
	dev, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dev.Close()
}

// TestAcceptWithoutDescriptors: a socket whose clients can't be accepted costs no
// processor, is reported once, and serves them when they can be.
func TestAcceptWithoutDescriptors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var r reported
	dev, err := console.New(console.Config{Ports: []console.Port{{Name: "agent", Socket: path}}, Report: r.report})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	client, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(client, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	machinetest.Until(t, "report", func() bool { return len(r.all()) > 0 })
	before := processorTime(t)
	<-time.After(time.Second) // the period that is measured
	if used := processorTime(t) - before; used > 100*time.Millisecond {
		t.Errorf("%v of processor time in a second", used)
	}
	if errs := r.all(); len(errs) != 1 || !errors.Is(errs[0], unix.EMFILE) {
		t.Errorf("reports %v", errs)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	d := virtiotest.New(t, dev, virtiotest.Options{})
	d.Queue(1).Do([][]byte{[]byte("hello")}, nil)
	var b [5]byte
	if n, err := unix.Read(client, b[:]); err != nil || string(b[:n]) != "hello" {
		t.Errorf("the client read %q, %v", b[:n], err)
	}
}

func processorTime(t *testing.T) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestSocketOfRunningMachine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	cfg := console.Config{Ports: []console.Port{{Name: "agent", Socket: path}}}
	open(t, cfg.Ports...)
	if _, err := console.New(cfg); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("error %v", err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for name, want := range map[string]string{"@name": "abstract", strings.Repeat("x", 108): "108 bytes"} {
		cfg.Ports[0].Socket = name
		if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.10s: %v", name, err)
		}
	}
}

// slaveName is the path of a terminal of its own, unlocked.
func slaveName(t *testing.T, master *os.File) string {
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return "/dev/pts/" + strconv.Itoa(n)
}
