package pci_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// vectors is a function with nothing but MSI-X: table at 0, pending bits at
// 0x800 of BAR 0, the capability at 0x40.
type vectors struct {
	*function
	*pci.MSIX
}

func (v vectors) Read(off uint64, p []byte) {
	if off >= 0x800 {
		v.ReadPBA(off-0x800, p)
		return
	}
	v.ReadTable(off, p)
}

func (v vectors) Write(off uint64, p []byte) { v.WriteTable(off, p) }

func newVectors(t *testing.T, m *machine, n int) vectors {
	t.Helper()
	x, err := pci.NewMSIX(m.Fabric, n)
	if err != nil {
		t.Fatal(err)
	}
	v := vectors{newFunction(t), x}
	if err := v.space.SetBAR(0, pci.BAR{Name: "msix", Size: 0x1000, Handler: v}); err != nil {
		t.Fatal(err)
	}
	if err := x.AddTo(v.space, 0, 0, 0x800); err != nil {
		t.Fatal(err)
	}
	m.add(v)
	t.Cleanup(func() { x.Close() })
	return v
}

func put32(v vectors, off uint64, w uint32) {
	v.WriteTable(off, binary.LittleEndian.AppendUint32(nil, w))
}

// entry writes a vector's message and its mask.
func entry(v vectors, i int, m bus.MSI, masked uint32) {
	at := uint64(i) * 16
	put32(v, at+12, 1)
	v.WriteTable(at, binary.LittleEndian.AppendUint64(nil, m.Addr))
	put32(v, at+8, m.Data)
	put32(v, at+12, masked)
}

func (v vectors) pba() uint32 {
	p := make([]byte, 4)
	v.ReadPBA(0, p)
	return binary.LittleEndian.Uint32(p)
}

func use(t *testing.T, v vectors, i int) bus.Message {
	t.Helper()
	m, err := v.Use(i)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func msi(i int) bus.MSI { return bus.MSI{Addr: 0xFEE0_0000, Data: uint32(0x40 + i)} }

func TestMessagesGoWhereTheTableSays(t *testing.T) {
	m := newMachine(t)
	v := newVectors(t, m, 3)
	m.set(1, 4, 2, 6)
	if got := m.get(1, 0x40, 4); got != 0x0002_0011 {
		t.Errorf("capability %#x", got)
	}
	msg := use(t, v, 1)
	for i := range 3 {
		entry(v, i, msi(i), 0)
	}
	m.set(1, 0x42, 2, 1<<15)
	msg.Signal()
	if !m.WaitMSI(msi(1), virtiotest.Deadline) {
		t.Fatal("no message came")
	}
	entry(v, 1, msi(9), 0)
	msg.Signal()
	if !m.WaitMSI(msi(9), virtiotest.Deadline) {
		t.Error("no message came at the new place")
	}
	put32(v, 16+8, 0x77) // without the mask
	msg.Signal()
	if !m.WaitMSI(bus.MSI{Addr: 0xFEE0_0000, Data: 0x77}, virtiotest.Deadline) {
		t.Error("no message came after a change of an open vector")
	}
	if m.Open() != 1 {
		t.Errorf("%d messages for one vector in use", m.Open())
	}
}

func TestMaskedSignalsAreKept(t *testing.T) {
	for _, c := range []struct {
		name     string
		on, mask func(m *machine, v vectors)
	}{
		{"vector", func(_ *machine, v vectors) { put32(v, 12, 0) }, func(_ *machine, v vectors) { put32(v, 12, 1) }},
		{"function", func(m *machine, _ vectors) { m.set(1, 0x42, 2, 1<<15) }, func(m *machine, _ vectors) { m.set(1, 0x42, 2, 3<<14) }},
		{"disabled", func(m *machine, _ vectors) { m.set(1, 0x42, 2, 1<<15) }, func(m *machine, _ vectors) { m.set(1, 0x42, 2, 0) }},
		{"no bus master", func(m *machine, _ vectors) { m.set(1, 4, 2, 6) }, func(m *machine, _ vectors) { m.set(1, 4, 2, 2) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			v := newVectors(t, m, 2)
			m.set(1, 4, 2, 6)
			m.set(1, 0x42, 2, 1<<15)
			entry(v, 0, msi(0), 0)
			msg := use(t, v, 0)
			c.mask(m, v)
			if v.pba() != 0 {
				t.Error("pending without a signal")
			}
			msg.Signal()
			if v.pba() != 1 || m.Sent() != 0 {
				t.Errorf("pending bits %#x, %d messages", v.pba(), m.Sent())
			}
			c.on(m, v)
			if !m.WaitMSI(msi(0), virtiotest.Deadline) || v.pba() != 0 {
				t.Errorf("pending bits %#x after the mask went", v.pba())
			}
			msg.Signal()
			if !m.WaitMSI(msi(0), virtiotest.Deadline) {
				t.Error("the next signal is lost")
			}
		})
	}
}

func TestTableTakesAlignedAccessesOnly(t *testing.T) {
	v := newVectors(t, newMachine(t), 2)
	entry(v, 1, bus.MSI{Addr: 0x1_FEE0_0003, Data: 7}, 0xFFFF_FFFE)
	for _, c := range []struct {
		off  uint64
		n    int
		want uint64
	}{
		{16, 8, 0x1_FEE0_0000}, {20, 4, 1}, {24, 4, 7}, {28, 4, 0}, {24, 8, 7}, {12, 4, 1},
		{16, 2, 0}, {18, 4, 0}, {20, 8, 0}, {32, 4, 0}, {1 << 40, 4, 0},
	} {
		p := make([]byte, 8)
		p[0] = 0xEE
		v.ReadTable(c.off, p[:c.n])
		if got := binary.LittleEndian.Uint64(p); got != c.want {
			t.Errorf("%d bytes at %d: %#x, want %#x", c.n, c.off, got, c.want)
		}
	}
	v.WriteTable(32, make([]byte, 4))
	v.WriteTable(16, []byte{1})
}

func TestVectorsAreBounded(t *testing.T) {
	m := newMachine(t)
	v := newVectors(t, m, 2)
	for _, i := range []int{-1, 2, 0xFFFF} {
		if _, err := v.Use(i); err == nil {
			t.Errorf("vector %d: accepted", i)
		}
	}
	for _, n := range []int{0, -1, 2049} {
		if _, err := pci.NewMSIX(m.Fabric, n); err == nil {
			t.Errorf("%d vectors: accepted", n)
		}
	}
	if err := v.AddTo(pci.NewSpace(pci.ID{}), 0, 4, 8); err == nil {
		t.Error("an unaligned table: accepted")
	}
	x, err := pci.NewMSIX(noMessages{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Use(0); err == nil {
		t.Error("a message came from nowhere")
	}
}

type noMessages struct{ bus.Fabric }

func (noMessages) NewMessage() (bus.Message, error) { return nil, errors.New("no more eventfds") }

func TestPendingSignalsAreSaved(t *testing.T) {
	m := newMachine(t)
	v := newVectors(t, m, 2)
	m.set(1, 4, 2, 6)
	m.set(1, 0x42, 2, 1<<15)
	entry(v, 1, msi(1), 1)
	use(t, v, 1).Signal()
	s := m.host.State()

	n := newMachine(t)
	w := newVectors(t, n, 2)
	if err := n.host.SetState(s); err != nil {
		t.Fatal(err)
	}
	if w.pba() != 2 {
		t.Errorf("pending bits %#x, want 2", w.pba())
	}
	use(t, w, 1)
	if w.pba() != 2 {
		t.Errorf("pending bits %#x with a message, want 2", w.pba())
	}
	put32(w, 16+12, 0)
	if !n.WaitMSI(msi(1), virtiotest.Deadline) {
		t.Error("what was pending is lost")
	}
}

func FuzzConfigSpace(f *testing.F) {
	f.Add([]byte{0x83, 4, 0, 6, 0, 0, 0, 0x83, 0x10, 0, 0, 0, 8, 0xD0})
	f.Add([]byte{0x81, 0x42, 0, 0, 0x80, 0, 0, 3, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0xC3, 0, 0, 0x10, 0x08, 0, 0x80, 0xC3, 4, 0, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newMachine(t)
		v := newVectors(t, m, 4)
		m.add(newFunction(t, pci.BAR{Size: 0x1000}, pci.BAR{Size: 0x1000, Wide: true}))
		msg := use(t, v, 2)
		for ; len(b) >= 7; b = b[7:] {
			n := int(b[0]&3) + 1
			off := uint64(binary.LittleEndian.Uint16(b[1:]))
			p := append([]byte(nil), b[3:3+n]...)
			write := b[0]&0x80 != 0
			switch b[0] >> 4 & 3 {
			case 0, 1: // configuration space of slots 1 and 2
				at := ecamAt + 1<<15 + off
				if write {
					m.MMIO.Write(at, p)
				} else {
					m.MMIO.Read(at, p)
				}
			case 2:
				at := 0xCF8 + off%8
				if write {
					m.Ports.Write(at, p)
				} else {
					m.Ports.Read(at, p)
				}
			case 3:
				at := lowAt + off
				if write {
					m.MMIO.Write(at, p)
				} else {
					m.MMIO.Read(at, p)
				}
			}
			msg.Signal()
		}
		if err := m.host.SetState(m.host.State()); err != nil {
			t.Fatal(err)
		}
		if got := m.get(1, 0, 4); got != 0x5678_1234 {
			t.Fatalf("ids %#x", got)
		}
	})
}
