package virtiotest

import (
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
)

// Fabric is a bus.Fabric in this process. Read and Write are a processor's
// accesses: a write is taken by an ioeventfd or goes to the bus; messages are counted by
// their address and data.
type Fabric struct {
	MMIO, Ports bus.Bus
	// NoIOEvents makes Bind answer bus.ErrNoIOEvent.
	NoIOEvents bool

	t        testing.TB
	mu       sync.Mutex
	ioEvents []bus.IOEvent
	sent     map[bus.MSI]int // came and were not waited for
	total    int
	kicked   int
	more     chan struct{} // closed and made anew with each message
	messages int
}

// NewFabric makes an empty one.
func NewFabric(t testing.TB) *Fabric {
	return &Fabric{t: t, sent: make(map[bus.MSI]int), more: make(chan struct{})}
}

// Write is a processor's write to memory-mapped registers. False: no device is
// there.
func (f *Fabric) Write(addr uint64, p []byte) bool {
	if f.kick(addr, p, false) {
		return true
	}
	return f.MMIO.Write(addr, p)
}

// Read is a processor's read from memory-mapped registers.
func (f *Fabric) Read(addr uint64, p []byte) bool { return f.MMIO.Read(addr, p) }

// kick signals the eventfd of a write, if there is one, as KVM does: the device is
// given nothing else of the write.
func (f *Fabric) kick(addr uint64, p []byte, port bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	var v [8]byte
	copy(v[:], p)
	for _, b := range f.ioEvents {
		switch {
		case b.Addr != addr || b.Port != port:
		case b.Size != 0 && b.Size != len(p):
		case b.Size != 0 && b.Match && b.Value != binary.LittleEndian.Uint64(v[:]):
		default:
			f.kicked++
			signal(b.FD)
			return true
		}
	}
	return false
}

var one = binary.NativeEndian.AppendUint64(nil, 1)

func signal(fd int) { _, _ = unix.Write(fd, one) }

// Bind and Unbind are bus.Fabric's.
func (f *Fabric) Bind(b bus.IOEvent) error {
	if f.NoIOEvents {
		return bus.ErrNoIOEvent
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.ioEvents {
		if o.Addr == b.Addr && o.Port == b.Port && o.Size == b.Size && (!o.Match || !b.Match || o.Value == b.Value) {
			return unix.EEXIST
		}
	}
	f.ioEvents = append(f.ioEvents, b)
	return nil
}

// Unbind removes an IOEvent.
func (f *Fabric) Unbind(b bus.IOEvent) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, o := range f.ioEvents {
		if o == b {
			f.ioEvents = append(f.ioEvents[:i], f.ioEvents[i+1:]...)
			return nil
		}
	}
	return errors.New("virtiotest: that ioeventfd is not bound")
}

// IOEvents are those that are bound.
func (f *Fabric) IOEvents() []bus.IOEvent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]bus.IOEvent(nil), f.ioEvents...)
}

// Kicked is the number of writes that ioeventfds took.
func (f *Fabric) Kicked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kicked
}

// Open is the number of Messages that were made and not closed.
func (f *Fabric) Open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.messages
}

// SendMSI is bus.MSISink's.
func (f *Fabric) SendMSI(m bus.MSI) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent[m]++
	f.total++
	close(f.more)
	f.more = make(chan struct{})
	return nil
}

// WaitMSI waits for m and takes all of it that came. False: none came in time.
func (f *Fabric) WaitMSI(m bus.MSI, d time.Duration) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	for {
		f.mu.Lock()
		n, more := f.sent[m], f.more
		f.sent[m] = 0
		f.mu.Unlock()
		if n > 0 {
			return true
		}
		select {
		case <-more:
		case <-late.C:
			return false
		}
	}
}

// Sent is the number of messages of all kinds.
func (f *Fabric) Sent() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

// message is a bus.Message. A goroutine is what the kernel is elsewhere: it hears
// the eventfd and delivers.
type message struct {
	f  *Fabric
	fd *eventfd.FD

	mu      sync.Mutex
	msi     bus.MSI
	open    bool // routed and not masked
	pending bool
	closed  bool
	done    chan struct{}
}

// NewMessage is bus.Fabric's.
func (f *Fabric) NewMessage() (bus.Message, error) {
	fd, err := eventfd.New()
	if err != nil {
		return nil, err
	}
	m := &message{f: f, fd: fd, done: make(chan struct{})}
	f.mu.Lock()
	f.messages++
	f.mu.Unlock()
	go m.run()
	f.t.Cleanup(func() { m.Close() })
	return m, nil
}

func (m *message) run() {
	defer close(m.done)
	for m.fd.Wait() == nil {
		m.mu.Lock()
		if m.open {
			_ = m.f.SendMSI(m.msi)
		} else {
			m.pending = true
		}
		m.mu.Unlock()
	}
}

func (m *message) Signal() { m.fd.Signal() }
func (m *message) FD() int { return m.fd.FD() }

func (m *message) Route(msi bus.MSI) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.msi, m.open = msi, true
	if m.pending {
		m.pending = false
		return m.f.SendMSI(msi)
	}
	return nil
}

func (m *message) Mask() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = false
	return nil
}

func (m *message) Pending() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.open && m.fd.Clear() { // before the goroutine hears of it
		m.pending = true
	}
	return m.pending
}

func (m *message) Close() error {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	m.mu.Unlock()
	if closed {
		return nil
	}
	m.f.mu.Lock()
	m.f.messages--
	m.f.mu.Unlock()
	err := m.fd.Close()
	<-m.done
	return err
}
