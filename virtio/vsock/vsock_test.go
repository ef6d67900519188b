package vsock_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

var drivers = []struct {
	name string
	o    virtiotest.Options
}{
	{"split", virtiotest.Options{}},
	{"packed", virtiotest.Options{Packed: true}},
	{"chains in the ring", virtiotest.Options{NoIndirect: true, NoEventIndex: true}},
}

func TestHostConnects(t *testing.T) {
	for _, tt := range drivers {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, tt.o, vsock.Config{})
			c := g.dial()
			say(t, c, "CONNECT 52\nearly")
			p := g.expect(opRequest)
			if p.dstPort != 52 || p.srcPort != 1<<30 || p.alloc != 64<<10 {
				t.Fatalf("request %+v", p)
			}
			g.send(packet{srcPort: 52, dstPort: p.srcPort, op: opResponse})
			if got := hear(t, c, 14); got != "OK 1073741824\n" {
				t.Fatalf("answer %q", got)
			}
			if got := g.take(5); string(got) != "early" {
				t.Fatalf("guest got %q", got)
			}
			g.send(packet{srcPort: 52, dstPort: p.srcPort, op: opData, data: []byte("hello")})
			if got := hear(t, c, 5); got != "hello" {
				t.Fatalf("host got %q", got)
			}
			if s := g.dev.Stats(); s.Connections != 1 || s.Opened != 1 || s.TxBytes != 5 || s.RxBytes != 5 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// The socket is there from New on, the rest of the device from its driver on.
func TestHostConnectsBeforeTheDriver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v")
	g := &guest{t: t, dev: open(t, vsock.Config{Path: path}), path: path, alloc: 1 << 20}
	c := g.dial()
	say(t, c, "CONNECT 52\n")
	g.drive(virtiotest.Options{})
	p := g.expect(opRequest)
	g.send(packet{srcPort: 52, dstPort: p.srcPort, op: opResponse})
	if got := hear(t, c, 14); got != "OK 1073741824\n" {
		t.Fatalf("answer %q", got)
	}
}

func TestGuestConnects(t *testing.T) {
	for _, tt := range drivers {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, tt.o, vsock.Config{})
			c := g.pair()
			say(t, c, "to the guest")
			if got := g.take(12); string(got) != "to the guest" {
				t.Fatalf("guest got %q", got)
			}
			g.send(packet{srcPort: 1000, dstPort: 52, op: opData, data: []byte("to the host")})
			if got := hear(t, c, 11); got != "to the host" {
				t.Fatalf("host got %q", got)
			}
		})
	}
}

func TestMuchBothWays(t *testing.T) {
	const size = 3 << 20
	for _, tt := range drivers {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, tt.o, vsock.Config{})
			c := g.pair()
			want := pattern(size)
			go c.Write(want)
			if got := g.take(size); !bytes.Equal(got, want) {
				t.Fatal("the guest got other data")
			}
			got := make(chan []byte)
			go func() {
				b := make([]byte, size)
				n, _ := io.ReadFull(c, b)
				got <- b[:n]
			}()
			credit := uint32(0)
			for off := 0; off < size; {
				n := min(60000, size-off, int(credit))
				if n > 0 {
					g.send(packet{srcPort: 1000, dstPort: 52, op: opData, data: want[off : off+n]})
					off += n
					credit -= uint32(n)
				}
				for credit < 30000 && off < size {
					if off == 0 {
						g.send(packet{srcPort: 1000, dstPort: 52, op: opAsk})
					}
					p := g.next() // each packet tells
					credit = p.alloc - (uint32(off) - p.count)
				}
			}
			if b := <-got; !bytes.Equal(b, want) {
				t.Fatal("the host got other data")
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	for _, tt := range []struct {
		name string
		p    packet
	}{
		{"nobody listens", packet{srcPort: 1, dstPort: 99, op: opRequest}},
		{"no such connection", packet{srcPort: 1, dstPort: 99, op: opData, data: []byte("x")}},
		{"another host", packet{dst: 77, srcPort: 1, dstPort: 99, op: opRequest}},
		{"another type", packet{kind: 2, srcPort: 1, dstPort: 99, op: opRequest}},
		{"unknown operation", packet{srcPort: 1, dstPort: 99, op: 300}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.send(tt.p)
			p := g.next()
			want := tt.p
			if want.dst == 0 {
				want.dst = vsock.HostCID
			}
			if want.kind == 0 {
				want.kind = 1
			}
			if p.op != opReset || p.src != want.dst || p.dst != cid || p.srcPort != 99 || p.dstPort != 1 || p.kind != want.kind {
				t.Fatalf("answer %+v", p)
			}
		})
	}
	g.send(packet{srcPort: 1, dstPort: 99, op: opReset}) // no reset for a reset
	g.send(packet{src: 3, srcPort: 1, dstPort: 99, op: opRequest})
	g.send(packet{srcPort: 1, dstPort: 99, op: opData, length: 5000})
	g.tx.Do([][]byte{{1, 2, 3}}, nil)
	g.send(packet{srcPort: 8, dstPort: 99, op: opRequest})
	if p := g.expect(opReset); p.dstPort != 8 {
		t.Fatalf("answer %+v", p)
	}
	if s := g.dev.Stats(); s.Dropped != 3 || s.Connections != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestGuestRefuses(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	c := g.dial()
	say(t, c, "connect 4294967294\r\n")
	p := g.expect(opRequest)
	g.send(packet{srcPort: p.dstPort, dstPort: p.srcPort, op: opReset})
	hearEnd(t, c)
}

func TestGuestDoesNotAnswer(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	c := g.dial()
	say(t, c, "CONNECT 52\n")
	g.expect(opRequest)
	hearEnd(t, c) // after two seconds
	g.expect(opReset)
}

func TestBadGreetings(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	for _, s := range []string{"\n", "CONNECT\n", "CONNECT x\n", "CONNECT 4294967296\n", "CONNECT -1\n", "GET / HTTP/1.1\n",
		"CONNECT 1111111111111111111111111111111111\n"} {
		c := g.dial()
		say(t, c, s)
		hearEnd(t, c)
	}
	c := g.dial()
	for _, s := range []string{"CON", "NECT ", "5", "2\n"} {
		say(t, c, s)
	}
	g.expect(opRequest)
}

func TestHostShutsHalf(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	c := g.pair()
	say(t, c, "last")
	c.CloseWrite()
	if got := g.take(4); string(got) != "last" {
		t.Fatalf("guest got %q", got)
	}
	if p := g.expect(opShutdown); p.flags != 2 {
		t.Fatalf("shutdown %+v, want that the host will not send", p)
	}
	g.send(packet{srcPort: 1000, dstPort: 52, op: opData, data: []byte("still")})
	if got := hear(t, c, 5); got != "still" {
		t.Fatalf("host got %q", got)
	}
	c.Close()
	if p := g.expect(opShutdown); p.flags != 3 {
		t.Fatalf("shutdown %+v", p)
	}
	g.send(packet{srcPort: 1000, dstPort: 52, op: opReset})
	waitConnections(t, g.dev, 0)
}

func TestGuestShuts(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	c := g.pair()
	g.send(packet{srcPort: 1000, dstPort: 52, op: opData, data: []byte("bye")})
	g.send(packet{srcPort: 1000, dstPort: 52, op: opShutdown, flags: 2})
	if got := hear(t, c, 3); got != "bye" {
		t.Fatalf("host got %q", got)
	}
	hearEnd(t, c)
	say(t, c, "answer")
	if got := g.take(6); string(got) != "answer" {
		t.Fatalf("guest got %q", got)
	}
	g.send(packet{srcPort: 1000, dstPort: 52, op: opShutdown, flags: 1})
	g.expect(opReset)
	waitConnections(t, g.dev, 0)
}

func TestLateReaderLosesNothing(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	c := g.pair()
	want := pattern(256 << 10)
	for off := 0; off < len(want); off += 32 << 10 {
		g.send(packet{srcPort: 1000, dstPort: 52, op: opData, data: want[off : off+32<<10]})
	}
	g.send(packet{srcPort: 1000, dstPort: 52, op: opShutdown, flags: 3})
	for g.next().op != opReset { // credit before it
	}
	if got := hear(t, c, len(want)); got != string(want) {
		t.Fatal("the host got other data")
	}
	hearEnd(t, c)
	waitConnections(t, g.dev, 0)
}

func TestMoreThanCreditIsReset(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	c := g.pair()
	data := make([]byte, 64<<10)
	for i := 0; ; i++ {
		if i == 64 {
			t.Fatal("4 MiB were taken from a guest with a credit of 256 KiB and a reader that sleeps")
		}
		g.send(packet{srcPort: 1000, dstPort: 52, op: opData, data: data})
		if g.dev.Stats().Connections == 0 {
			break
		}
	}
	_ = c
}

func TestKeepsToGuestsCredit(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	g.alloc = 100
	c := g.pair()
	want := pattern(350)
	say(t, c, string(want))
	var got []byte
	for len(got) < len(want) {
		n := 0
		for n < min(100, len(want)-len(got)) {
			p := g.expect(opData)
			n += len(p.data)
			got = append(got, p.data...)
		}
		if n > 100 {
			t.Fatalf("%d bytes for a credit of 100", n)
		}
		if n == 100 {
			g.expect(opAsk)
			g.send(packet{srcPort: 1000, dstPort: 52, op: opUpdate})
		}
	}
	if !bytes.Equal(got, want) {
		t.Fatal("other data")
	}
	g.send(packet{srcPort: 1000, dstPort: 52, op: opAsk})
	g.expect(opUpdate)
}

func TestMaxConnections(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{MaxConnections: 2})
	l := g.listen("52")
	for i := range 3 {
		g.send(packet{srcPort: uint32(i), dstPort: 52, op: opRequest})
		want := uint16(opResponse)
		if i == 2 {
			want = opReset
		}
		g.expect(want)
	}
	waiting := g.dial() // in the backlog
	say(t, waiting, "CONNECT 5\n")
	accept(t, l).Close()
	g.expect(opShutdown)
	g.send(packet{srcPort: 0, dstPort: 52, op: opReset})
	g.expect(opRequest)
}

func TestPauseKeepsConnections(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	c := g.pair()
	g.d.Pause()
	say(t, c, "meanwhile")
	g.d.Resume()
	if got := g.take(9); string(got) != "meanwhile" {
		t.Fatalf("guest got %q", got)
	}
}

func TestDriverResetClosesConnections(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	c := g.pair()
	g.d.Reset()
	hearEnd(t, c)
	g.post(4)
	c = g.dial()
	say(t, c, "CONNECT 1\n")
	g.expect(opRequest)
}

func TestRestoredDriverIsToldOfReset(t *testing.T) {
	for _, tt := range drivers {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, tt.o, vsock.Config{})
			g.d.Queue(2).Add(nil, []int{4})
			g.d.Queue(2).Kick()
			g.pair()
			dev2 := open(t, vsock.Config{CID: 9})
			d2 := g.d.SaveRestore(dev2)
			r := d2.Queue(2).Wait()
			if r.Written() != 4 || !bytes.Equal(r.In(), []byte{0, 0, 0, 0}) {
				t.Fatalf("event % x", r.In())
			}
			if got := binary.LittleEndian.Uint64(d2.ReadConfig(0, 8)); got != 9 {
				t.Fatalf("cid %d", got)
			}
			g.d = d2
			g.tx.Do([][]byte{packet{src: 9, dst: 2, kind: 1, srcPort: 1000, dstPort: 52, op: opData, data: []byte("x")}.bytes()}, nil)
			if p := g.next(); p.op != opReset {
				t.Fatalf("the old connection lives: %+v", p)
			}
		})
	}
}

func TestRefusesStates(t *testing.T) {
	d := open(t, vsock.Config{})
	for _, s := range []any{nil, 1, (*vsock.State)(nil), &vsock.State{Version: 2}} {
		if d.SetState(s) == nil {
			t.Errorf("took %v", s)
		}
	}
}

func waitConnections(t testing.TB, d *vsock.Device, n uint64) {
	t.Helper()
	machinetest.Until(t, fmt.Sprintf("%d connections", n), func() bool { return d.Stats().Connections == n })
}
