package mmio_test

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/transport/mmio"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

const base = 0xD000_0000

// msi is where the I/O APIC would send the device's interrupt.
var msi = bus.MSI{Addr: 0xFEE0_0000, Data: 0x31}

// link drives a device by its registers.
type link struct {
	t          testing.TB
	f          *virtiotest.Fabric
	tr         *mmio.Transport
	panel      []byte // what the guest reads; nil: all reads leave it
	configured bool   // a configuration interrupt came
}

func connect(t testing.TB, f *virtiotest.Fabric, in *virtio.Instance) *link {
	return connectPanel(t, f, in, make([]byte, mmio.Size))
}

func connectPanel(t testing.TB, f *virtiotest.Fabric, in *virtio.Instance, panel []byte) *link {
	m, err := f.NewMessage()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Route(msi); err != nil {
		t.Fatal(err)
	}
	tr, err := mmio.New(in, mmio.Config{Fabric: f, Addr: base, GSI: 5, Interrupt: m, Panel: panel})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.MMIO.Add("virtio", base, mmio.Size, tr); err != nil {
		t.Fatal(err)
	}
	return &link{t: t, f: f, tr: tr, panel: panel}
}

func over(o virtiotest.Options) virtiotest.Options {
	o.Connect = func(t testing.TB, in *virtio.Instance) virtiotest.Link {
		return connect(t, virtiotest.NewFabric(t), in)
	}
	return o
}

func (l *link) Move(t testing.TB, in *virtio.Instance) virtiotest.Link {
	n := connect(t, virtiotest.NewFabric(t), in)
	if err := n.tr.SetState(l.tr.State()); err != nil {
		t.Fatal(err)
	}
	return n
}

func (l *link) read(off uint64) uint32 {
	var p [4]byte
	l.f.Read(base+off, p[:])
	v := binary.LittleEndian.Uint32(p[:])
	if l.panel == nil {
		return v
	}
	shown := atomic.LoadUint32((*uint32)(unsafe.Pointer(&l.panel[off])))
	// What changes concurrently with the processors may have done so since.
	if off != 0x60 && off != 0x70 && off < 0xFC && shown != v {
		l.t.Errorf("register %#x is %#x, and shown as %#x", off, v, shown)
	}
	return shown
}

func (l *link) write(off uint64, v uint32) {
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], v)
	l.f.Write(base+off, p[:])
}

func (l *link) Features() virtio.Feature {
	l.write(0x14, 1)
	hi := l.read(0x10)
	l.write(0x14, 0)
	return virtio.Feature(hi)<<32 | virtio.Feature(l.read(0x10))
}

func (l *link) Accept(f virtio.Feature) {
	l.write(0x24, 1)
	l.write(0x20, uint32(f>>32))
	l.write(0x24, 0)
	l.write(0x20, uint32(f))
}

func (l *link) Status() uint8     { return uint8(l.read(0x70)) }
func (l *link) SetStatus(v uint8) { l.write(0x70, uint32(v)) }
func (l *link) Notify(i int)      { l.write(0x50, uint32(i)) }

func (l *link) MaxSize(i int) uint16 {
	l.write(0x30, uint32(i))
	return uint16(l.read(0x34))
}

func (l *link) SetQueue(i int, q virtio.QueueState) {
	l.write(0x30, uint32(i))
	l.write(0x38, uint32(q.Size))
	for off, a := range map[uint64]uint64{0x80: uint64(q.Desc), 0x90: uint64(q.Driver), 0xA0: uint64(q.Device)} {
		l.write(off, uint32(a))
		l.write(off+4, uint32(a>>32))
	}
	l.write(0x44, 1)
	if l.read(0x44) != 1 {
		l.t.Errorf("queue %d did not become ready", i)
	}
}

// wait is the driver's interrupt handler.
func (l *link) wait(d time.Duration) uint32 {
	if !l.f.WaitMSI(msi, d) {
		return 0
	}
	why := l.read(0x60)
	l.write(0x64, why)
	if why&2 != 0 {
		l.configured = true
	}
	return why
}

func (l *link) WaitUsed(_ int, d time.Duration) bool { return l.wait(d)&1 != 0 }

func (l *link) WaitConfig(d time.Duration) bool {
	for end := time.Now().Add(d); !l.configured && time.Now().Before(end); {
		l.wait(time.Until(end))
	}
	was := l.configured
	l.configured = false
	return was
}

func (l *link) ReadConfig(off uint64, p []byte) {
	if l.panel == nil {
		l.f.Read(base+0x100+off, p)
		return
	}
	for i := range p {
		at := 0x100 + off + uint64(i)
		w := atomic.LoadUint32((*uint32)(unsafe.Pointer(&l.panel[at&^3])))
		p[i] = byte(w >> (8 * (at & 3)))
	}
}

func (l *link) WriteConfig(off uint64, p []byte) { l.f.Write(base+0x100+off, p) }
