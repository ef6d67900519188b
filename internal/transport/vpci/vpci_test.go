package vpci_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/internal/transport/vpci"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// Guest-physical addresses of configuration space and of the window.
const (
	ecamAt = 0xE000_0000
	lowAt  = 0xD000_0000
)

var low = memory.Range{Addr: lowAt, Size: 0x100_0000}

// link drives a device on a bus, in slot 1, by what its capabilities say.
type link struct {
	t      testing.TB
	f      *virtiotest.Fabric
	host   *pci.Host
	tr     *vpci.Transport
	caps   map[byte]capability // by cfg_type
	msix   int                 // its capability's offset
	table  uint64              // its table's address
	factor uint32
}

type capability struct {
	at           int    // in configuration space
	addr, length uint64 // of what it describes
}

// plug puts in onto a new bus, as the monitor leaves it.
func plug(t testing.TB, f *virtiotest.Fabric, in *virtio.Instance) *link {
	t.Helper()
	host, err := pci.NewHost(pci.Config{MMIO: &f.MMIO, ECAM: ecamAt, Low: low})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.MMIO.Add("ecam", ecamAt, pci.ECAMSize, host.ECAM()); err != nil {
		t.Fatal(err)
	}
	tr, err := vpci.New(in, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := host.Add(-1, tr); err != nil {
		t.Fatal(err)
	}
	return &link{t: t, f: f, host: host, tr: tr, caps: make(map[byte]capability)}
}

// probe is the guest's bus driver: it finds the capabilities, switches memory,
// messages and all vectors on.
func (l *link) probe() *link {
	l.find()
	l.setConfig(4, 2, 6)
	l.setConfig(l.msix+2, 2, 1<<15|1<<14)
	for i := range l.config(l.msix+2, 2)&0x7FF + 1 {
		m := msi(int(i))
		at := l.table + 16*uint64(i)
		l.put(at, 4, uint32(m.Addr))
		l.put(at+4, 4, uint32(m.Addr>>32))
		l.put(at+8, 4, m.Data)
		l.put(at+12, 4, 0)
	}
	l.setConfig(l.msix+2, 2, 1<<15)
	return l
}

func (l *link) find() {
	base := func(bir uint32) uint64 { return uint64(l.config(int(0x10+4*bir), 4) &^ 0xF) }
	for at := int(l.config(0x34, 1)); at != 0; at = int(l.config(at+1, 1)) {
		switch l.config(at, 1) {
		case 0x11:
			l.msix = at
			v := l.config(at+4, 4)
			l.table = base(v&7) + uint64(v&^7)
		case 9:
			kind := byte(l.config(at+3, 1))
			l.caps[kind] = capability{at, base(l.config(at+4, 1)) + uint64(l.config(at+8, 4)), uint64(l.config(at+12, 4))}
			if kind == 2 {
				l.factor = l.config(at+16, 4)
			}
		}
	}
}

// msi is the message of vector i.
func msi(i int) bus.MSI { return bus.MSI{Addr: 0xFEE0_0000, Data: uint32(0x30 + i)} }

func connect(t testing.TB, in *virtio.Instance) virtiotest.Link {
	return plug(t, virtiotest.NewFabric(t), in).probe()
}

func (l *link) Move(t testing.TB, in *virtio.Instance) virtiotest.Link {
	n := plug(t, virtiotest.NewFabric(t), in)
	if err := n.host.SetState(l.host.State()); err != nil {
		t.Fatal(err)
	}
	if err := n.tr.SetState(l.tr.State()); err != nil {
		t.Fatal(err)
	}
	n.find()
	return n
}

func (l *link) config(off, n int) uint32 {
	var p [4]byte
	l.f.Read(ecamAt+1<<15+uint64(off), p[:n])
	return binary.LittleEndian.Uint32(p[:])
}

func (l *link) setConfig(off, n int, v uint32) {
	p := binary.LittleEndian.AppendUint32(nil, v)
	l.f.Write(ecamAt+1<<15+uint64(off), p[:n])
}

func (l *link) get(addr uint64, n int) uint32 {
	var p [4]byte
	l.f.Read(addr, p[:n])
	return binary.LittleEndian.Uint32(p[:])
}

func (l *link) put(addr uint64, n int, v uint32) {
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], v)
	l.f.Write(addr, p[:n])
}

func (l *link) common(off uint64) uint64 { return l.caps[1].addr + off }

func (l *link) Features() virtio.Feature {
	l.put(l.common(0), 4, 1)
	hi := l.get(l.common(4), 4)
	l.put(l.common(0), 4, 0)
	return virtio.Feature(hi)<<32 | virtio.Feature(l.get(l.common(4), 4))
}

func (l *link) Accept(f virtio.Feature) {
	for i := range uint32(2) {
		l.put(l.common(8), 4, i)
		l.put(l.common(12), 4, uint32(f>>(32*i)))
	}
}

func (l *link) Status() uint8     { return uint8(l.get(l.common(0x14), 1)) }
func (l *link) SetStatus(v uint8) { l.put(l.common(0x14), 1, uint32(v)) }

func (l *link) MaxSize(i int) uint16 {
	if i >= int(l.get(l.common(0x12), 2)) {
		return 0
	}
	l.put(l.common(0x16), 2, uint32(i))
	return uint16(l.get(l.common(0x18), 2))
}

// SetQueue gives vector 0 to the configuration and i+1 to queue i.
func (l *link) SetQueue(i int, q virtio.QueueState) {
	l.put(l.common(0x10), 2, 0)
	l.put(l.common(0x16), 2, uint32(i))
	l.put(l.common(0x18), 2, uint32(q.Size))
	l.put(l.common(0x1A), 2, uint32(i+1))
	for off, a := range map[uint64]uint64{0x20: uint64(q.Desc), 0x28: uint64(q.Driver), 0x30: uint64(q.Device)} {
		l.put(l.common(off), 4, uint32(a))
		l.put(l.common(off+4), 4, uint32(a>>32))
	}
	l.put(l.common(0x1C), 2, 1)
	if l.get(l.common(0x1C), 2) != 1 || l.get(l.common(0x1A), 2) != uint32(i+1) || l.get(l.common(0x10), 2) != 0 {
		l.t.Errorf("queue %d did not become ready or has no vector", i)
	}
}

// Notify writes to the queue's register, whose offset a driver asks for once.
func (l *link) Notify(i int) {
	l.put(l.caps[2].addr+uint64(i)*uint64(l.factor), 2, uint32(i))
}

func (l *link) WaitUsed(i int, d time.Duration) bool { return l.f.WaitMSI(msi(i+1), d) }
func (l *link) WaitConfig(d time.Duration) bool      { return l.f.WaitMSI(msi(0), d) }

func (l *link) ReadConfig(off uint64, p []byte)  { l.f.Read(l.caps[4].addr+off, p) }
func (l *link) WriteConfig(off uint64, p []byte) { l.f.Write(l.caps[4].addr+off, p) }
