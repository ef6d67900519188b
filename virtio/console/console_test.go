package console_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// sink is an Out that can be looked at, and held.
type sink struct {
	mu   sync.Mutex
	b    bytes.Buffer
	hold chan struct{} // Write waits until it is closed
}

func (s *sink) Write(p []byte) (int, error) {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func open(t testing.TB, ports ...console.Port) *console.Device {
	t.Helper()
	d, err := console.New(console.Config{Ports: ports})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

var drivers = []struct {
	name string
	o    virtiotest.Options
}{
	{"split", virtiotest.Options{}},
	{"packed", virtiotest.Options{Packed: true}},
	{"chains in the ring", virtiotest.Options{NoIndirect: true, NoEventIndex: true}},
}

func TestTerminal(t *testing.T) {
	for _, tt := range drivers {
		t.Run(tt.name, func(t *testing.T) {
			var out sink
			in, keys := io.Pipe()
			var seen bytes.Buffer
			dev := open(t, console.Port{Console: true, In: in, Out: &out, Seen: func(p []byte) { seen.Write(p) }})
			d := virtiotest.New(t, dev, tt.o)
			d.Queue(1).Do([][]byte{[]byte("hello "), []byte("world\n")}, nil)
			machinetest.Until(t, "output", func() bool { return out.String() == "hello world\n" })
			if seen.String() != "hello world\n" {
				t.Errorf("seen %q", seen.String())
			}
			go io.WriteString(keys, "ls\n")
			if r := d.Queue(0).Do(nil, []int{2, 20}); string(r.In()[:r.Written()]) != "ls\n" {
				t.Errorf("guest read %q", r.In())
			}
			if s := dev.Stats(); s.ToGuest != 3 || s.FromGuest != 12 || s.Lost != 0 {
				t.Errorf("stats %+v", s)
			}
			dev.Resize(0, 132, 43)
			d.WaitConfigChanged()
			if c := d.ReadConfig(0, 8); !bytes.Equal(c, []byte{132, 0, 43, 0, 1, 0, 0, 0}) {
				t.Errorf("configuration % x", c)
			}
			d.WriteConfig(8, []byte{'!', 0, 0, 0})
			machinetest.Until(t, "character of the emergency write", func() bool { return strings.HasSuffix(out.String(), "!") })
		})
	}
}

// guest is a driver that speaks with several ports.
type guest struct {
	t testing.TB
	d *virtiotest.Driver
}

func (g guest) say(id uint32, event, value uint16) {
	g.t.Helper()
	le := binary.LittleEndian
	g.d.Queue(3).Do([][]byte{le.AppendUint16(le.AppendUint16(le.AppendUint32(nil, id), event), value)}, nil)
}

func (g guest) hear() (id uint32, event, value uint16, tail string) {
	g.t.Helper()
	r := g.d.Queue(2).Do(nil, []int{64})
	b := r.In()[:r.Written()]
	if len(b) < 8 {
		g.t.Fatalf("a message of %d bytes", len(b))
	}
	le := binary.LittleEndian
	return le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), string(b[8:])
}

func (g guest) expect(id uint32, event, value uint16, tail string) {
	g.t.Helper()
	i, e, v, s := g.hear()
	if i != id || e != event || v != value || s != tail {
		g.t.Fatalf("told port %d event %d value %d %q, want %d %d %d %q", i, e, v, s, id, event, value, tail)
	}
}

func TestPorts(t *testing.T) {
	for _, tt := range drivers {
		t.Run(tt.name, func(t *testing.T) {
			var tty, agent sink
			sock := filepath.Join(t.TempDir(), "s")
			dev := open(t, console.Port{Console: true, Out: &tty}, console.Port{Name: "org.agent.0", Out: &agent}, console.Port{Name: "sock", Socket: sock})
			dev.Resize(0, 80, 25)
			g := guest{t, virtiotest.New(t, dev, tt.o)}
			g.say(0, 0, 1)
			for i := range uint32(3) {
				g.expect(i, 1, 1, "")
			}
			g.say(0, 3, 1)
			g.expect(0, 4, 1, "")
			g.expect(0, 5, 1, "\x50\x00\x19\x00") // columns first
			g.expect(0, 6, 1, "")
			g.say(1, 3, 1)
			g.expect(1, 7, 1, "org.agent.0")
			g.expect(1, 6, 1, "")
			g.say(2, 3, 1)
			g.expect(2, 7, 1, "sock")
			g.say(9, 3, 1) // no such port
			g.say(1, 99, 1)

			// Input waits for the guest to open the port.
			g.d.Queue(4).Add(nil, []int{10})
			g.d.Queue(4).Kick()
			dev.Input(1).Receive([]byte("early"))
			g.say(1, 6, 1)
			if r := g.d.Queue(4).Wait(); string(r.In()[:r.Written()]) != "early" {
				t.Errorf("guest read %q", r.In())
			}
			g.d.Queue(5).Do([][]byte{[]byte("answer")}, nil)
			machinetest.Until(t, "answer", func() bool { return agent.String() == "answer" })

			// A client comes, talks and goes.
			g.say(2, 6, 1)
			c, err := net.Dial("unix", sock)
			if err != nil {
				t.Fatal(err)
			}
			g.expect(2, 6, 1, "")
			io.WriteString(c, "hi")
			if r := g.d.Queue(6).Do(nil, []int{10}); string(r.In()[:r.Written()]) != "hi" {
				t.Errorf("guest read %q", r.In())
			}
			g.d.Queue(7).Do([][]byte{[]byte("ho")}, nil)
			b := make([]byte, 2)
			if _, err := io.ReadFull(c, b); err != nil || string(b) != "ho" {
				t.Errorf("client read %q, %v", b, err)
			}
			c.Close()
			g.expect(2, 6, 0, "")
			dev.Resize(0, 100, 50)
			g.expect(0, 5, 1, "\x64\x00\x32\x00")
		})
	}
}

func TestReaderWhoSleepsHoldsOnlyItsPort(t *testing.T) {
	slow, fast := &sink{hold: make(chan struct{})}, &sink{}
	g := guest{t, virtiotest.New(t, open(t, console.Port{Name: "slow", Out: slow}, console.Port{Name: "fast", Out: fast}), virtiotest.Options{})}
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<12) // 64 KiB
	for range 3 {
		g.d.Queue(1).Add([][]byte{want}, nil)
	}
	g.d.Queue(1).Kick()
	g.d.Queue(5).Do([][]byte{[]byte("quick")}, nil)
	machinetest.Until(t, "other port", func() bool { return fast.String() == "quick" })
	if g.d.Queue(1).WaitFor(50*time.Millisecond) == nil {
		t.Error("not even the first piece was taken")
	}
	if r := g.d.Queue(1).WaitFor(50 * time.Millisecond); r != nil {
		t.Error("more was taken than there is room for")
	}
	close(slow.hold)
	g.d.Queue(1).Wait()
	g.d.Queue(1).Wait()
	machinetest.Until(t, "rest", func() bool { return len(slow.String()) == 3*len(want) })
	if slow.String() != strings.Repeat(string(want), 3) {
		t.Error("other bytes")
	}
}

func TestConsoleNobodyReadsGoesOn(t *testing.T) {
	held := &sink{hold: make(chan struct{})}
	dev := open(t, console.Port{Console: true, Out: held})
	defer close(held.hold)
	q := virtiotest.New(t, dev, virtiotest.Options{}).Queue(1)
	for range 3 {
		q.Do([][]byte{make([]byte, 64<<10)}, nil)
	}
	if dev.Stats().Lost == 0 {
		t.Error("nothing was lost, and nobody reads")
	}
}

func TestSaveRestoreInMidWork(t *testing.T) {
	for _, tt := range drivers {
		t.Run(tt.name, func(t *testing.T) {
			held, rest := &sink{hold: make(chan struct{})}, &sink{}
			dev := open(t, console.Port{Name: "a", Out: held}, console.Port{Console: true})
			g := guest{t, virtiotest.New(t, dev, tt.o)}
			g.say(0, 0, 1)
			g.expect(0, 1, 1, "")
			g.say(0, 3, 1)
			g.say(0, 6, 1)
			dev.Input(0).Receive([]byte("typed"))
			dev.Resize(1, 90, 30)
			want := bytes.Repeat([]byte("x"), 40<<10)
			want = append(want, bytes.Repeat([]byte("y"), 40<<10)...)
			g.d.Queue(1).Add([][]byte{want}, nil)
			g.d.Queue(1).Kick()
			machinetest.Until(t, "output taken", func() bool { return dev.Stats().FromGuest >= 64<<10 })
			dev2 := open(t, console.Port{Name: "a", Out: rest}, console.Port{Console: true})
			g.d = g.d.SaveRestore(dev2)
			g.d.Queue(1).Wait()
			close(held.hold)
			machinetest.Until(t, "all output", func() bool { return held.String()+rest.String() == string(want) })
			g.expect(0, 7, 1, "a")
			g.expect(0, 6, 1, "")
			g.expect(1, 1, 1, "")
			if r := g.d.Queue(0).Do(nil, []int{20}); string(r.In()[:r.Written()]) != "typed" {
				t.Errorf("guest read %q", r.In())
			}
			g.say(1, 3, 1)
			g.expect(1, 4, 1, "")
			g.expect(1, 5, 1, "\x5a\x00\x1e\x00")
		})
	}
}

func TestFileAndPTY(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "log"), filepath.Join(dir, "tty")
	if err := os.WriteFile(file, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dev, err := console.New(console.Config{Ports: []console.Port{{Name: "log", File: file}, {Console: true, PTY: link}}})
	if err != nil {
		t.Fatal(err)
	}
	g := guest{t, virtiotest.New(t, dev, virtiotest.Options{})}
	g.say(0, 0, 1)
	g.say(1, 6, 1)
	g.d.Queue(1).Do([][]byte{[]byte("new\n")}, nil)
	tty, err := os.OpenFile(link, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	g.d.Queue(5).Do([][]byte{[]byte("login: ")}, nil)
	b := make([]byte, 7)
	if _, err := io.ReadFull(tty, b); err != nil || string(b) != "login: " {
		t.Errorf("terminal shows %q, %v", b, err)
	}
	io.WriteString(tty, "me\r")
	if r := g.d.Queue(4).Do(nil, []int{9}); string(r.In()[:r.Written()]) != "me\r" {
		t.Errorf("guest read %q", r.In())
	}
	if !strings.HasPrefix(dev.PTY(1), "/dev/pts/") || dev.PTY(0) != "" {
		t.Errorf("terminals %q %q", dev.PTY(0), dev.PTY(1))
	}
	g.d.Instance().Close()
	if err := dev.Close(); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(file); string(b) != "old\nnew\n" {
		t.Errorf("file %q", b)
	}
	if _, err := os.Lstat(link); !os.IsNotExist(err) {
		t.Errorf("the link stays: %v", err)
	}
}

func TestOutputOfOneWhoWentAway(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	dev := open(t, console.Port{Console: true, Out: w})
	q := virtiotest.New(t, dev, virtiotest.Options{}).Queue(1)
	for range 100 {
		q.Do([][]byte{make([]byte, 4096)}, nil)
	}
	if err := dev.Close(); err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("Close says %v", err)
	}
}

func TestRefusesConfigs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ports []console.Port
		want  string
	}{
		{"none", nil, "ports: 0"},
		{"many", make([]console.Port, 32), "ports: 32"},
		{"no name", []console.Port{{}}, "port 0: name"},
		{"same name", []console.Port{{Name: "a"}, {Name: "a"}}, `port 1: name: "a" is port 0's`},
		{"slash", []console.Port{{Name: "a/b"}}, "without blanks and slashes"},
		{"long", []console.Port{{Name: strings.Repeat("a", 128)}}, "128 bytes"},
		{"two ways", []console.Port{{Name: "a", File: "x", Socket: "y"}}, "more than one place"},
		{"no directory", []console.Port{{Name: "a", File: "/nonexistent/x"}}, "port 0: file: "},
		{"no directory for a socket", []console.Port{{Name: "a", Socket: "/nonexistent/x"}}, "directory does not exist"},
		{"no directory for a link", []console.Port{{Name: "a", PTY: "/nonexistent/x"}}, "port 0: pty: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := console.New(console.Config{Ports: tt.ports})
			if err == nil || !strings.HasPrefix(err.Error(), "console: ") || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRefusesStates(t *testing.T) {
	d := open(t, console.Port{Console: true})
	for _, s := range []any{nil, (*console.State)(nil), &console.State{Version: 2}, &console.State{Version: 1},
		&console.State{Version: 1, Ports: []console.PortState{{Skip: -1}}},
		&console.State{Version: 1, Ports: []console.PortState{{Input: make([]byte, 1<<17)}}}} {
		if d.SetState(s) == nil {
			t.Errorf("took %+v", s)
		}
	}
}

func TestByteAllocatesNothing(t *testing.T) {
	dev := open(t, console.Port{Console: true, Out: io.Discard})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	tx, rx := d.Queue(1).Prepare([][]byte{make([]byte, 100)}, nil), d.Queue(0).Prepare(nil, []int{100})
	key := []byte("k")
	round := func() {
		d.Queue(1).Submit(tx)
		d.Queue(1).Kick()
		d.Queue(1).Wait()
		d.Queue(0).Submit(rx)
		d.Queue(0).Kick()
		dev.Input(0).Receive(key)
		d.Queue(0).Wait()
	}
	round()
	if n := testing.AllocsPerRun(100, round); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzControl(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 1, 0}, false)
	f.Fuzz(func(t *testing.T, in []byte, packed bool) {
		dev := open(t, console.Port{Console: true, Out: io.Discard}, console.Port{Name: "a"})
		d := virtiotest.New(t, dev, virtiotest.Options{Memory: 1 << 20, Packed: packed})
		told := 0
		for n := 0; len(in) > 0 && n < 40; n++ {
			size := min(len(in), 1+int(in[0])%12)
			d.Queue(int(in[0]>>4)%2*2+1).Do([][]byte{in[:size]}, nil)
			in = in[size:]
			d.Queue(2).Add(nil, []int{8 + n%3})
			d.Queue(2).Kick()
			for r := d.Queue(2).Poll(); r != nil; r = d.Queue(2).Poll() {
				if told++; r.Written() < 8 {
					t.Fatalf("a message of %d bytes", r.Written())
				}
			}
		}
		if err := d.Failure(); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkOutput(b *testing.B) {
	d := virtiotest.New(b, open(b, console.Port{Console: true, Out: io.Discard}), virtiotest.Options{})
	r := d.Queue(1).Prepare([][]byte{make([]byte, 4096)}, nil)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		d.Queue(1).Submit(r)
		d.Queue(1).Kick()
		d.Queue(1).Wait()
	}
}

// TestNewFailsAtOnce: a later port's mistake does not wait for the output of those
// before it, of which there is none.
func TestNewFailsAtOnce(t *testing.T) {
	begin := time.Now()
	_, err := console.New(console.Config{Ports: []console.Port{{Console: true}, {Name: "log", File: filepath.Join(t.TempDir(), "none", "log")}}})
	if err == nil {
		t.Fatal("no error")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestClientFloodsAndLeaves: a client whose input the guest does not read, and who
// is gone, keeps nobody else away.
func TestClientFloodsAndLeaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dev := open(t, console.Port{Name: "agent", Socket: path})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	first, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	first.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := first.Write(make([]byte, 4<<20)); err == nil {
		t.Fatalf("%d bytes were taken", n)
	}
	first.Close()
	second, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	machinetest.Until(t, "output for the next client", func() bool {
		d.Queue(1).Do([][]byte{[]byte("hello")}, nil) // the first ones may go to who has left
		var b [5]byte
		second.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := second.Read(b[:])
		return err == nil && string(b[:n]) == "hello"
	})
}

// TestClientWritesAndLeaves: what a client wrote reaches a guest that reads later.
func TestClientWritesAndLeaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	g := guest{t, virtiotest.New(t, open(t, console.Port{Name: "agent", Socket: path}), virtiotest.Options{})}
	g.say(0, 0, 1)
	g.expect(0, 1, 1, "")
	g.say(0, 3, 1)
	g.expect(0, 7, 1, "agent")
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	g.expect(0, 6, 1, "")
	io.WriteString(c, "shut down")
	c.Close()
	g.expect(0, 6, 0, "")
	g.d.Queue(0).Add(nil, []int{20})
	g.d.Queue(0).Kick()
	g.say(0, 6, 1)
	if r := g.d.Queue(0).Wait(); string(r.In()[:r.Written()]) != "shut down" {
		t.Errorf("the guest read %q", r.In()[:r.Written()])
	}
}
