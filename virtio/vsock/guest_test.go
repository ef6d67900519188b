package vsock_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

const (
	cid     = 7
	headLen = 44
	page    = 4096

	opRequest, opResponse, opReset, opShutdown, opData, opUpdate, opAsk = 1, 2, 3, 4, 5, 6, 7
)

// packet is one packet, either way.
type packet struct {
	src, dst         uint64
	srcPort, dstPort uint32
	kind, op         uint16
	flags            uint32
	alloc, count     uint32
	length           uint32 // of a header that lies; else 0
	data             []byte
}

func (p packet) bytes() []byte {
	le := binary.LittleEndian
	b := le.AppendUint64(nil, p.src)
	b = le.AppendUint64(b, p.dst)
	b = le.AppendUint32(b, p.srcPort)
	b = le.AppendUint32(b, p.dstPort)
	n := uint32(len(p.data))
	if p.length != 0 {
		n = p.length
	}
	b = le.AppendUint32(b, n)
	b = le.AppendUint16(b, p.kind)
	b = le.AppendUint16(b, p.op)
	b = le.AppendUint32(b, p.flags)
	b = le.AppendUint32(b, p.alloc)
	b = le.AppendUint32(b, p.count)
	return append(b, p.data...)
}

func parse(b []byte) packet {
	le := binary.LittleEndian
	return packet{src: le.Uint64(b), dst: le.Uint64(b[8:]), srcPort: le.Uint32(b[16:]), dstPort: le.Uint32(b[20:]),
		kind: le.Uint16(b[28:]), op: le.Uint16(b[30:]), flags: le.Uint32(b[32:]), alloc: le.Uint32(b[36:]), count: le.Uint32(b[40:]),
		data: bytes.Clone(b[headLen : headLen+le.Uint32(b[24:])])}
}

// guest is a driver with receive buffers of a page, and a socket's arithmetic.
type guest struct {
	t      testing.TB
	d      *virtiotest.Driver
	rx, tx *virtiotest.Queue
	path   string
	dev    *vsock.Device
	alloc  uint32 // its buffer space
	count  uint32 // what it took out
}

func open(t testing.TB, c vsock.Config) *vsock.Device {
	t.Helper()
	if c.CID == 0 {
		c.CID = cid
	}
	if c.Path == "" {
		c.Path = filepath.Join(t.TempDir(), "v")
	}
	d, err := vsock.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func newGuest(t testing.TB, o virtiotest.Options, c vsock.Config) *guest {
	t.Helper()
	if c.Path == "" {
		c.Path = filepath.Join(t.TempDir(), "v")
	}
	g := &guest{t: t, dev: open(t, c), path: c.Path, alloc: 1 << 20}
	g.drive(o)
	return g
}

func (g *guest) drive(o virtiotest.Options) {
	g.t.Helper()
	g.d = virtiotest.New(g.t, g.dev, o)
	g.rx, g.tx = g.d.Queue(0), g.d.Queue(1)
	g.post(32)
}

func (g *guest) post(n int) {
	for range n {
		g.rx.Add(nil, []int{headLen, page})
	}
	g.rx.Kick()
}

// send sends one packet, with what a well-behaved one has in it.
func (g *guest) send(p packet) {
	g.t.Helper()
	if p.src == 0 {
		p.src = cid
	}
	if p.dst == 0 {
		p.dst = vsock.HostCID
	}
	if p.kind == 0 {
		p.kind = 1
	}
	p.alloc, p.count = g.alloc, g.count
	b := p.bytes()
	out := [][]byte{b[:headLen]}
	if len(b) > headLen {
		out = append(out, b[headLen:])
	}
	g.tx.Do(out, nil)
}

// next is the next packet to the guest.
func (g *guest) next() packet {
	g.t.Helper()
	r := g.rx.Wait()
	p := parse(r.In()[:r.Written()])
	if p.op == opData {
		g.count += uint32(len(p.data))
	}
	g.post(1)
	return p
}

func (g *guest) expect(op uint16) packet {
	g.t.Helper()
	p := g.next()
	if p.op != op || p.src != vsock.HostCID || p.dst != cid || p.kind != 1 {
		g.t.Fatalf("packet %+v, want operation %d", p, op)
	}
	return p
}

// take reads n bytes.
func (g *guest) take(n int) (b []byte) {
	g.t.Helper()
	for len(b) < n {
		p := g.next()
		switch p.op {
		case opData:
			b = append(b, p.data...)
		case opAsk, opUpdate:
			g.send(packet{srcPort: p.dstPort, dstPort: p.srcPort, op: opUpdate})
		default:
			g.t.Fatalf("packet %+v among data", p)
		}
	}
	return b
}

// listen is a host's process behind a port.
func (g *guest) listen(port string) net.Listener {
	g.t.Helper()
	l, err := net.Listen("unix", g.path+"_"+port)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { l.Close() })
	return l
}

func accept(t testing.TB, l net.Listener) *net.UnixConn {
	t.Helper()
	_ = l.(*net.UnixListener).SetDeadline(time.Now().Add(virtiotest.Deadline))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(virtiotest.Deadline))
	return c.(*net.UnixConn)
}

// dial is a host's process that connects.
func (g *guest) dial() *net.UnixConn {
	g.t.Helper()
	c, err := net.Dial("unix", g.path)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(virtiotest.Deadline))
	return c.(*net.UnixConn)
}

// pair connects the guest's port 1000 to a host process on port 52.
func (g *guest) pair() *net.UnixConn {
	g.t.Helper()
	l := g.listen("52")
	g.send(packet{srcPort: 1000, dstPort: 52, op: opRequest})
	g.expect(opResponse)
	return accept(g.t, l)
}

func say(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func hear(t testing.TB, c net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatalf("%v after %q", err, b)
	}
	return string(b)
}

func hearEnd(t testing.TB, c net.Conn) {
	t.Helper()
	var b [16]byte
	if n, err := c.Read(b[:]); n != 0 || err == nil || isTimeout(err) {
		t.Fatalf("read %q, %v; want the end", b[:n], err)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}
