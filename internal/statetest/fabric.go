package statetest

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/bus"
)

// Fabric is a bus.Fabric that records what a device sends, in the goroutine that
// makes it do so. Nothing is in flight, so that what was recorded does not depend
// on time. It is for one goroutine.
type Fabric struct {
	MMIO, Ports bus.Bus
	// Log is what happened, each with a space before it. A Rig clears it in its Step.
	Log string

	ioEvents []bus.IOEvent
	messages int
}

// Logf appends to Log.
func (f *Fabric) Logf(format string, args ...any) { f.Log += " " + fmt.Sprintf(format, args...) }

// SendMSI is bus.MSISink's.
func (f *Fabric) SendMSI(m bus.MSI) error {
	f.Logf("msi:%x:%x", m.Addr, m.Data)
	return nil
}

// Write is a processor's write to memory-mapped registers: it is recorded where an
// ioeventfd takes it, and else goes to the bus.
func (f *Fabric) Write(addr uint64, p []byte) {
	var v [8]byte
	copy(v[:], p)
	for _, b := range f.ioEvents {
		if b.Addr == addr && !b.Port && (b.Size == 0 || b.Size == len(p) && (!b.Match || b.Value == binary.LittleEndian.Uint64(v[:]))) {
			f.Logf("ioeventfd:%x:%x", addr, p)
			return
		}
	}
	f.MMIO.Write(addr, p)
}

// Bind is bus.Fabric's.
func (f *Fabric) Bind(b bus.IOEvent) error {
	for _, o := range f.ioEvents {
		if o.Addr == b.Addr && o.Port == b.Port && o.Size == b.Size && o.Value == b.Value {
			return unix.EEXIST
		}
	}
	f.ioEvents = append(f.ioEvents, b)
	return nil
}

// Unbind is bus.Fabric's.
func (f *Fabric) Unbind(b bus.IOEvent) error {
	for i, o := range f.ioEvents {
		if o == b {
			f.ioEvents = append(f.ioEvents[:i], f.ioEvents[i+1:]...)
			return nil
		}
	}
	return errors.New("statetest: that ioeventfd is not bound")
}

// NewMessage is bus.Fabric's.
func (f *Fabric) NewMessage() (bus.Message, error) {
	f.messages++
	return &message{f: f}, nil
}

// Messages is the number of Messages that were made and not closed.
func (f *Fabric) Messages() int { return f.messages }

// message keeps a signal while it is masked, as an eventfd without its irqfd does.
type message struct {
	f         *Fabric
	msi       bus.MSI
	open, has bool
}

func (m *message) Signal() {
	if m.has = true; m.open {
		_ = m.Route(m.msi)
	}
}

func (m *message) FD() int { return -1 }

func (m *message) Route(msi bus.MSI) error {
	m.open, m.msi = true, msi
	if m.has {
		m.has = false
		return m.f.SendMSI(msi)
	}
	return nil
}

func (m *message) Mask() error   { m.open = false; return nil }
func (m *message) Pending() bool { return m.has && !m.open }

func (m *message) Close() error {
	m.f.messages--
	return nil
}
