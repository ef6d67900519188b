package serial

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe returns both ends; drain reads away all that comes.
func pipe(t *testing.T, drain bool) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	if drain {
		wg.Go(func() { _, _ = io.Copy(io.Discard, r) })
	}
	t.Cleanup(func() {
		_ = w.Close()
		wg.Wait()
		_ = r.Close()
	})
	return r, w
}

func writeAll(d *Device, p []byte) {
	for i := range p {
		d.Write(regData, p[i:i+1])
	}
}

func TestFirstByteComesAtOnce(t *testing.T) {
	r, w := pipe(t, false)
	d := New(Config{Out: w})
	defer d.Close()
	d.outb(regData, 'M')
	// The vCPU's goroutine has written it: it is there before anybody else ran.
	if n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ); err != nil || n != 1 {
		t.Fatalf("%d bytes in the pipe, %v; want 1", n, err)
	}
}

func TestPromptAppearsWithoutNewline(t *testing.T) {
	r, w := pipe(t, false)
	d := New(Config{Out: w})
	defer d.Close()
	writeAll(d, []byte("line\nlogin: "))
	got := make([]byte, 12)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "line\nlogin: " {
		t.Fatalf("read %q, %v", got, err)
	}
}

func TestEveryKindOfOutput(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef\n"), 20_000)
	for _, c := range []struct {
		name string
		open func(t *testing.T) (w io.Writer, read func() []byte)
	}{
		{"file", func(t *testing.T) (io.Writer, func() []byte) {
			name := filepath.Join(t.TempDir(), "out")
			f, err := os.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString("before\n"); err != nil {
				t.Fatal(err)
			}
			return f, func() []byte {
				_, _ = f.WriteString("after\n") // the position is shared
				_ = f.Close()
				b, _ := os.ReadFile(name)
				b, ok := bytes.CutPrefix(b, []byte("before\n"))
				b, ok2 := bytes.CutSuffix(b, []byte("after\n"))
				if !ok || !ok2 {
					t.Error("the file's position was lost")
				}
				return b
			}
		}},
		{"pipe", func(t *testing.T) (io.Writer, func() []byte) {
			r, w := pipe(t, false)
			return w, collect(r, w)
		}},
		{"socket", func(t *testing.T) (io.Writer, func() []byte) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
			t.Cleanup(func() { _ = r.Close() })
			return w, collect(r, w)
		}},
		{"writer", func(t *testing.T) (io.Writer, func() []byte) {
			var b bytes.Buffer
			return &b, b.Bytes
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, read := c.open(t)
			d := New(Config{Out: w})
			writeAll(d, text)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d.outb(regData, '!') // discarded
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if got := read(); !bytes.Equal(got, text) {
				t.Fatalf("%d bytes arrived of %d, or in another order", len(got), len(text))
			}
			if d.Lost() != 0 || d.Err() != nil {
				t.Fatalf("lost %d, %v", d.Lost(), d.Err())
			}
		})
	}
}

// collect reads r in the background; the function that it returns closes w and
// waits for the end.
func collect(r, w *os.File) func() []byte {
	ch := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(r)
		ch <- b
	}()
	return func() []byte {
		_ = w.Close()
		return <-ch
	}
}

func TestFallbackByPoll(t *testing.T) {
	r, w := pipe(t, false)
	d := New(Config{Out: w})
	d.out.file.close()
	own, err := unix.FcntlInt(w.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	d.out.file = newFile(own, polled)
	read := collect(r, w)
	text := bytes.Repeat([]byte("0123456789abcde\n"), 20_000)
	writeAll(d, text)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(); !bytes.Equal(got, text) {
		t.Fatalf("%d bytes arrived of %d", len(got), len(text))
	}
}

func TestClosedReaderIsNoMisfortune(t *testing.T) {
	for _, c := range []struct {
		name string
		out  func(t *testing.T) io.Writer
		want error
	}{
		{"pipe", func(t *testing.T) io.Writer {
			r, w := pipe(t, false)
			_ = r.Close()
			return w
		}, syscall.EPIPE},
		{"full disk", func(t *testing.T) io.Writer {
			f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Skip(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			return f
		}, syscall.ENOSPC},
		{"writer", func(t *testing.T) io.Writer { return brokenWriter{} }, io.ErrClosedPipe},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := New(Config{Out: c.out(t)})
			writeAll(d, bytes.Repeat([]byte("x\n"), ringSize))
			if got := d.in(regLSR); got&lsrTHRE == 0 {
				t.Errorf("LSR %#x: the guest waits, and the output has failed", got)
			}
			if err := d.Close(); !errors.Is(err, c.want) {
				t.Errorf("Close: %v, want %v", err, c.want)
			}
			if !errors.Is(d.Err(), c.want) || !strings.Contains(d.Err().Error(), "discarded") {
				t.Errorf("Err: %v", d.Err())
			}
		})
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestSlowReader: while nobody reads, the transmitter is not empty and no
// interrupt says so; when somebody does, the interrupt comes and nothing is lost.
func TestSlowReader(t *testing.T) {
	r, w := pipe(t, false)
	ch := make(chan bool, 16)
	p := new(pin)
	var mu sync.Mutex
	d := New(Config{Out: w, Line: lineFunc(func(high bool) {
		mu.Lock()
		p.Set(high)
		mu.Unlock()
		select {
		case ch <- high:
		default:
		}
	})})
	d.out.stallLimit = time.Hour
	d.outb(regIER, ierTHRI)
	sent := 0
	for !blocked(t, d, r, w) {
		if d.in(regLSR)&lsrTHRE == 0 {
			continue
		}
		d.outb(regData, byte(sent))
		sent++
		if sent > 1<<20 {
			t.Fatal("the transmitter stays empty for a megabyte that nobody reads")
		}
	}
	want(t, "IIR", d.in(regIIR), iirNone)
	for range 16 { // a FIFO's worth more, as an interrupt handler writes it
		d.outb(regData, byte(sent))
		sent++
	}
	mu.Lock()
	if p.high {
		t.Error("line high with a full transmitter")
	}
	mu.Unlock()
	for len(ch) > 0 {
		<-ch
	}
	read := collect(r, w)
	if high := <-ch; !high {
		t.Fatal("line fell")
	}
	want(t, "IIR with room", d.in(regIIR), iirTHRE)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	got := read()
	if len(got) != sent {
		t.Fatalf("%d bytes arrived, %d sent", len(got), sent)
	}
	for i, b := range got {
		if b != byte(i) {
			t.Fatalf("byte %d is %#x", i, b)
		}
	}
}

// TestRoomMadeByTheSameWrite: the ring fills while a write is under way that then
// makes room again. That must raise the interrupt too.
func TestRoomMadeByTheSameWrite(t *testing.T) {
	g := gate{entered: make(chan int), leave: make(chan struct{})}
	lines := make(chan bool, 16)
	d := New(Config{Out: g, Line: lineFunc(func(high bool) { lines <- high })})
	d.outb(regIER, ierTHRI)
	d.outb(regData, 'x')
	<-g.entered
	writeAll(d, bytes.Repeat([]byte{'x'}, chunkSize))
	g.leave <- struct{}{}
	if n := <-g.entered; n != chunkSize {
		t.Fatalf("a write of %d bytes, want %d", n, chunkSize)
	}
	for d.out.ready() {
		d.outb(regData, 'x')
	}
	for high := range lines {
		if !high {
			break
		}
	}
	g.leave <- struct{}{}
	if !<-lines {
		t.Fatal("line fell twice")
	}
	go func() {
		for range g.entered {
			g.leave <- struct{}{}
		}
	}()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	close(g.entered)
}

// gate is a Writer whose writes wait for permission.
type gate struct {
	entered chan int
	leave   chan struct{}
}

func (g gate) Write(p []byte) (int, error) {
	g.entered <- len(p)
	<-g.leave
	return len(p), nil
}

// blocked reports whether the pipe and the ring buffer are full, and the writer
// has noticed: nothing changes any more until somebody reads.
func blocked(t *testing.T, d *Device, r, w *os.File) bool {
	t.Helper()
	d.out.mu.Lock()
	taken, full := d.out.taken, !d.out.ready()
	d.out.mu.Unlock()
	if !full {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(w.Fd()), Events: unix.POLLOUT}}
	if n, err := unix.Poll(fds, 0); n != 0 || err != nil {
		return false
	}
	inPipe, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return uint64(inPipe) == taken
}

type lineFunc func(bool)

func (f lineFunc) Set(high bool) { f(high) }

// TestReaderThatStopped: the guest is stopped no longer than the limit, however
// much it writes, and goes on without loss when the reader comes back.
func TestReaderThatStopped(t *testing.T) {
	r, w := pipe(t, false)
	d := New(Config{Out: w})
	d.out.stallLimit = 20 * time.Millisecond
	begun := time.Now()
	writeAll(d, bytes.Repeat([]byte{'x'}, 400_000))
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the guest was stopped for %v", took)
	}
	if d.Lost() == 0 {
		t.Error("nothing lost: the test writes too little")
	}
	want(t, "LSR", d.in(regLSR), lsrTHRE|lsrTEMT)
	lost := d.Lost()
	read := collect(r, w)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := len(read()); uint64(got)+lost != 400_000 {
		t.Fatalf("%d arrived, %d lost", got, lost)
	}
}

func TestCloseGivesUp(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	_, w := pipe(t, false)
	for name, out := range map[string]io.Writer{"pipe": w, "writer": blockedWriter(block)} {
		d := New(Config{Out: out})
		d.out.closeLimit, d.out.stallLimit = 10*time.Millisecond, 10*time.Millisecond
		writeAll(d, bytes.Repeat([]byte{'x'}, 200_000))
		err := d.Close()
		if err == nil || !strings.Contains(err.Error(), "nobody took them") {
			t.Errorf("%s: Close: %v", name, err)
		}
	}
}

type blockedWriter chan struct{}

func (b blockedWriter) Write(p []byte) (int, error) {
	<-b
	return len(p), nil
}

func TestNoDescriptorLeft(t *testing.T) {
	count := func() int {
		e, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(e)
	}
	_, w := pipe(t, true)
	before := count()
	for range 10 {
		d := New(Config{Out: w})
		d.outb(regData, 'x')
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := count(); after != before {
		t.Fatalf("%d descriptors before, %d after", before, after)
	}
}

func TestManyProcessors(t *testing.T) {
	_, w := pipe(t, true)
	d := New(Config{Out: w, Line: lineFunc(func(bool) {})})
	var wg sync.WaitGroup
	for cpu := range 4 {
		wg.Go(func() {
			var p [2]byte
			for i := range 3000 {
				d.Write(uint64((i*7+cpu)%8), []byte{byte(i)})
				d.Read(uint64(i%8), p[:])
				d.Receive(p[:])
			}
		})
	}
	wg.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkFirstByte(b *testing.B) {
	f, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	p := []byte{'x'}
	for b.Loop() {
		b.StopTimer()
		d := New(Config{Out: f})
		b.StartTimer()
		d.Write(regData, p)
		b.StopTimer()
		_ = d.Close()
		b.StartTimer()
	}
}

func BenchmarkLine(b *testing.B) {
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	defer w.Close()
	d := New(Config{Out: w})
	line := []byte("[    0.000000] a line of the kernel's log, with eighty characters altogether....\n")
	for b.Loop() {
		writeAll(d, line)
	}
	_ = d.Close()
}
