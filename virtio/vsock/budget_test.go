package vsock_test

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// window is what a guest knows of the device's credit on one of its connections.
type window struct{ alloc, count, sent uint32 }

func (w *window) room() int { return int(int32(w.alloc - (w.sent - w.count))) }

// many is a guest with a connection for each of its ports.
type many struct {
	*guest
	windows []window
}

// hear notes the credit of all packets that have come.
func (m *many) hear() {
	m.t.Helper()
	for r := m.rx.Poll(); r != nil; r = m.rx.Poll() {
		p := parse(r.In()[:r.Written()])
		m.post(1)
		if p.op == opReset {
			m.t.Fatalf("port %d was reset: %+v", p.dstPort, m.windows[p.dstPort])
		}
		w := &m.windows[p.dstPort]
		w.alloc, w.count = p.alloc, p.count
	}
}

// sync returns when all that was sent before has been dealt with.
func (m *many) sync(port int) {
	m.t.Helper()
	m.send(packet{srcPort: uint32(port), dstPort: 52, op: opAsk})
	for r := m.rx.Wait(); ; r = m.rx.Wait() {
		p := parse(r.In()[:r.Written()])
		m.post(1)
		w := &m.windows[p.dstPort]
		w.alloc, w.count = p.alloc, p.count
		if p.op == opUpdate && int(p.dstPort) == port {
			break
		}
	}
	m.hear()
}

// fill sends on a connection as much as its credit allows.
func (m *many) fill(port int, data []byte) (sent int) {
	m.t.Helper()
	w := &m.windows[port]
	for n := min(w.room(), len(data)); n > 0; n = min(w.room(), len(data)) {
		m.send(packet{srcPort: uint32(port), dstPort: 52, op: opData, data: data[:n]})
		w.sent += uint32(n)
		sent += n
		m.hear()
	}
	return sent
}

func newMany(t *testing.T, n int) (*many, []io.ReadWriteCloser) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < uint64(2*n+100) {
		t.Skipf("%d open files are allowed, %d are needed", limit.Cur, 2*n+100)
	}
	m := &many{newGuest(t, virtiotest.Options{}, vsock.Config{}), make([]window, n)}
	l := m.listen("52")
	var peers []io.ReadWriteCloser
	for i := range n {
		m.send(packet{srcPort: uint32(i), dstPort: 52, op: opRequest})
		p := m.expect(opResponse)
		m.windows[i] = window{alloc: p.alloc, count: p.count}
		peers = append(peers, accept(t, l))
	}
	return m, peers
}

// stated is what the documentation allows a device to hold.
const stated = 32 << 20

// TestMemoryOfAllConnections: a guest that fills every connection to processes that
// read a while, so that windows grow, and then no more.
func TestMemoryOfAllConnections(t *testing.T) {
	n := vsock.DefaultMaxConnections
	m, peers := newMany(t, n)
	data := make([]byte, 32<<10)
	got := make([]byte, 512<<10)
	taken := make([]int, n)
	for i := range n { // so far all is taken
		for sent := 0; sent < 256<<10; {
			k := m.fill(i, data)
			if k == 0 {
				t.Fatalf("connection %d has no credit after %d bytes", i, sent)
			}
			if _, err := io.ReadFull(peers[i], got[:k]); err != nil {
				t.Fatal(err)
			}
			sent += k
			m.sync(i)
		}
		taken[i] = int(m.windows[i].sent)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	total, least := 0, 1<<30
	for i := range n { // and now nothing
		sent := 0
		for k := m.fill(i, data); k > 0; k = m.fill(i, data) {
			sent += k
			m.sync(i)
		}
		total, least = total+sent, min(least, sent)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := int(after.HeapAlloc) - int(before.HeapAlloc)
	t.Logf("%d connections, %d MiB sent, at least %d KiB each, %.1f MiB held", n, total>>20, least>>10, float64(held)/(1<<20))
	if held > stated {
		t.Errorf("%d bytes are held, at most %d are stated", held, stated)
	}
	// What waits is whole, and the memory is given back.
	for i := range 3 {
		for waits := int(m.windows[i].sent) - taken[i]; waits > 0; {
			k := min(waits, len(got))
			if _, err := io.ReadFull(peers[i], got[:k]); err != nil {
				t.Fatal(err)
			}
			waits -= k
			if bytes.Count(got[:k], []byte{0}) != k {
				t.Fatal("other data")
			}
		}
	}
	for _, p := range peers {
		p.Close()
	}
	m.d.Reset()
	waitConnections(t, m.dev, 0)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := int(after.HeapAlloc) - int(before.HeapAlloc); held > 4<<20 {
		t.Errorf("%d bytes are held without a connection", held)
	}
}

// TestCreditGrowsWithUse: one that is used gets the most, one that is not read stays
// as it is, and a late one has something for certain.
func TestCreditGrowsWithUse(t *testing.T) {
	m, peers := newMany(t, 2)
	data, got := make([]byte, 32<<10), make([]byte, 1<<20)
	first := m.windows[1].alloc
	for range 64 {
		k := m.fill(0, data)
		if _, err := io.ReadFull(peers[0], got[:k]); err != nil {
			t.Fatal(err)
		}
		m.sync(0)
	}
	if w := m.windows[0].alloc; w != 256<<10 {
		t.Errorf("a window of %d bytes after much use, at first %d", w, first)
	}
	for k := m.fill(1, data); k > 0; k = m.fill(1, data) {
		m.sync(1)
	}
	m.sync(1)
	if w := m.windows[1]; w.room() != 0 {
		t.Errorf("%+v", w)
	}
}

// TestPromisesAreKept: a window that became smaller takes what was promised before.
func TestPromisesAreKept(t *testing.T) {
	m, peers := newMany(t, 200)
	data, got := make([]byte, 32<<10), make([]byte, 1<<20)
	// Windows shrink and grow while each sends as much as it was ever told it may.
	for range 40 {
		for i := range m.windows {
			if k := m.fill(i, data); k > 0 {
				if _, err := io.ReadFull(peers[i], got[:k]); err != nil {
					t.Fatal(err)
				}
			}
		}
		m.sync(0)
	}
	if s := m.dev.Stats(); s.Connections != 200 || s.Resets != 0 {
		t.Errorf("%+v", s)
	}
}
