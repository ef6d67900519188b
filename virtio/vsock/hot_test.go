package vsock_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// pinger is a guest that allocates nothing.
type pinger struct {
	*guest
	tx    *virtiotest.Request
	count uint32
	// The device's credit, of the last packet.
	credit uint32
}

func newPinger(t testing.TB, size int) (*pinger, *net.UnixConn) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	g.alloc = 256 << 10
	// Receive buffers of its own, used again and again.
	g.d.Reset()
	for range 64 {
		g.rx.Submit(g.rx.Prepare(nil, []int{headLen + page}))
	}
	g.rx.Kick()
	l := g.listen("53")
	g.tx.Do([][]byte{packet{src: cid, dst: 2, kind: 1, srcPort: 9, dstPort: 53, op: opRequest, alloc: g.alloc}.bytes()}, nil)
	p := &pinger{guest: g}
	p.recv()
	b := packet{src: cid, dst: 2, kind: 1, srcPort: 9, dstPort: 53, op: opData, alloc: g.alloc, data: make([]byte, size)}.bytes()
	p.tx = g.tx.Prepare([][]byte{b[:headLen], b[headLen:]}, nil)
	return p, accept(t, l)
}

// recv takes one packet and gives its buffer back.
func (p *pinger) recv() (op uint16, n int) {
	r := p.rx.Wait()
	h := r.Out(0) // its only buffer
	p.credit = binary.LittleEndian.Uint32(h[36:])
	op, n = binary.LittleEndian.Uint16(h[30:]), int(binary.LittleEndian.Uint32(h[24:]))
	p.count += uint32(n)
	p.rx.Submit(r)
	p.rx.Kick()
	return op, n
}

func (p *pinger) send() {
	binary.LittleEndian.PutUint32(p.tx.Out(0)[40:], p.count)
	p.guest.tx.Submit(p.tx)
	p.guest.tx.Kick()
	p.guest.tx.Wait()
}

func echo(c *net.UnixConn, size int) {
	b := make([]byte, size)
	for {
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

func (p *pinger) round(size int) {
	p.send()
	for n := 0; n < size; {
		_, m := p.recv()
		n += m
	}
}

func TestPacketAllocatesNothing(t *testing.T) {
	p, c := newPinger(t, 4000)
	go echo(c, 4000)
	p.round(4000)
	if n := testing.AllocsPerRun(200, func() { p.round(4000) }); n >= 1 {
		t.Errorf("%v allocations a round trip", n)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, n := range []int{64, 4000} {
		b.Run(fmt.Sprint(n, "B"), func(b *testing.B) {
			p, c := newPinger(b, n)
			go echo(c, n)
			b.ReportAllocs()
			for b.Loop() {
				p.round(n)
			}
		})
	}
}

func BenchmarkToGuest(b *testing.B) {
	p, c := newPinger(b, 1)
	go func() {
		buf := make([]byte, 256<<10)
		for {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	}()
	// The driver's part is a packet of 4 KiB at a time, and its credit now and then.
	got, told := 0, 0
	update := packet{src: cid, dst: 2, kind: 1, srcPort: 9, dstPort: 53, op: opUpdate, alloc: p.alloc}.bytes()
	r := p.guest.tx.Prepare([][]byte{update}, nil)
	b.SetBytes(page)
	b.ReportAllocs()
	for b.Loop() {
		for target := got + page; got < target; {
			_, n := p.recv()
			if got += n; got-told > 64<<10 {
				told = got
				binary.LittleEndian.PutUint32(r.Out(0)[40:], p.count)
				p.guest.tx.Submit(r)
				p.guest.tx.Kick()
				p.guest.tx.Wait()
			}
		}
	}
}

func BenchmarkFromGuest(b *testing.B) {
	const size = 32 << 10
	p, c := newPinger(b, size)
	go io.Copy(io.Discard, c)
	credit := p.credit // of the response
	sent := uint32(0)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		for credit < size {
			r := p.rx.Wait()
			h := r.Out(0)
			credit = binary.LittleEndian.Uint32(h[36:]) - (sent - binary.LittleEndian.Uint32(h[40:]))
			p.rx.Submit(r)
			p.rx.Kick()
		}
		p.send()
		sent += size
		credit -= size
	}
}

func FuzzPackets(f *testing.F) {
	f.Add(packet{src: cid, dst: 2, kind: 1, srcPort: 9, dstPort: 53, op: opRequest, alloc: 1000}.bytes(), false)
	f.Add(append(packet{src: cid, dst: 2, kind: 1, srcPort: 9, dstPort: 53, op: opRequest}.bytes(),
		packet{src: cid, dst: 2, kind: 1, srcPort: 9, dstPort: 53, op: opShutdown, flags: 3}.bytes()...), true)
	f.Fuzz(func(t *testing.T, in []byte, packed bool) {
		g := newGuest(t, virtiotest.Options{Memory: 4 << 20, Packed: packed}, vsock.Config{MaxConnections: 8})
		l := g.listen("53")
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					c.Write(make([]byte, 10000))
					io.Copy(c, c)
					c.Close()
				}()
			}
		}()
		for n := 0; len(in) > 0 && n < 64; n++ {
			size := min(len(in), headLen+int(in[0])%64)
			b := append([]byte(nil), in[:size]...)
			in = in[size:]
			if len(b) >= headLen && b[1]&1 == 0 { // half of them well addressed
				copy(b, packet{src: cid, dst: 2, kind: 1, srcPort: 9, dstPort: 53, op: uint16(b[30] % 9), length: uint32(len(b) - headLen)}.bytes()[:32])
			}
			g.tx.Do([][]byte{b}, nil)
			for r := g.rx.Poll(); r != nil; r = g.rx.Poll() {
				if r.Written() < headLen || r.Written() > headLen+page {
					t.Fatalf("a packet of %d bytes", r.Written())
				}
				parse(r.In()[:r.Written()])
				g.post(1)
			}
		}
		if err := g.d.Failure(); err != nil {
			t.Fatal(err)
		}
		if s := g.dev.Stats(); s.Connections > 8 {
			t.Fatalf("stats %+v", s)
		}
	})
}

func FuzzChains(f *testing.F) {
	f.Add(uint8(0), uint64(0x90000), uint32(4000), uint16(2), false)
	f.Add(uint8(1), uint64(1<<40), uint32(44), uint16(0), true)
	f.Fuzz(func(t *testing.T, queue uint8, addr uint64, n uint32, flags uint16, packed bool) {
		g := newGuest(t, virtiotest.Options{Memory: 4 << 20, Packed: packed}, vsock.Config{})
		if addr < 0x300000 {
			addr += 0x300000 // not the rings themselves: that would fuzz the driver
		}
		q := g.d.Queue(int(queue % 3))
		q.AddRaw([]virtiotest.Desc{{Addr: memory.Addr(addr), Len: n, Flags: flags &^ virtiotest.Next}})
		q.ForceKick()
		c := g.dial()
		say(t, c, "CONNECT 52\n")
		for g.rx.WaitFor(virtiotest.Deadline) == nil {
			if g.d.Failure() == nil {
				t.Fatal("no request came")
			}
			g.d.Reset()
			g.post(4)
			say(t, g.dial(), "CONNECT 52\n")
		}
	})
}
