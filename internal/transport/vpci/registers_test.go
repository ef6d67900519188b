package vpci_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/transport/vpci"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// raw is a device that was probed and whose driver has done nothing.
func raw(t testing.TB, dev virtio.Device) *link {
	t.Helper()
	d := virtiotest.New(t, dev, virtiotest.Options{Connect: connect})
	l := d.Link().(*link)
	l.SetStatus(0)
	return l
}

func TestRequests(t *testing.T) {
	for _, ioeventfds := range []bool{true, false} {
		for _, packed := range []bool{false, true} {
			t.Run(fmt.Sprintf("ioeventfds=%v,packed=%v", ioeventfds, packed), func(t *testing.T) {
				f := virtiotest.NewFabric(t)
				f.NoIOEvents = !ioeventfds
				virtiotest.Exercise(t, f, packed, func(t testing.TB, in *virtio.Instance) virtiotest.Link { return plug(t, f, in).probe() })
			})
		}
	}
}

func TestIdentity(t *testing.T) {
	for kind, want := range map[virtio.Type][2]uint32{
		virtio.TypeNet: {0x1041_1AF4, 0x02_00_00_01}, virtio.TypeBlock: {0x1042_1AF4, 0x01_80_00_01},
		virtio.TypeConsole: {0x1043_1AF4, 0x07_80_00_01}, virtio.TypeEntropy: {0x1044_1AF4, 0xFF_00_00_01},
		virtio.TypeVsock: {0x1053_1AF4, 0x07_80_00_01},
	} {
		l := plug(t, virtiotest.NewFabric(t), virtio.New(&virtiotest.Echo{Kind: kind}, virtio.Options{}))
		if got := [2]uint32{l.config(0, 4), l.config(8, 4)}; got != want {
			t.Errorf("%s: %#x, want %#x", kind, got, want)
		}
		if got := l.config(0x2C, 4); got != (0x40+uint32(kind))<<16|0x1AF4 {
			t.Errorf("%s: subsystem %#x", kind, got)
		}
	}
}

func TestCapabilities(t *testing.T) {
	l := raw(t, &virtiotest.Echo{Sizes: []uint16{8, 8, 8}})
	base := uint64(lowAt)
	for kind, want := range map[byte]capability{1: {0, base, 64}, 2: {0, base + 0x3000, 12}, 3: {0, base + 0x400, 4}, 4: {0, base + 0x800, 0x800}, 5: {0, base, 0}} {
		got := l.caps[kind]
		want.at = got.at
		if got != want {
			t.Errorf("capability %d: %#x, want %#x", kind, got, want)
		}
	}
	if l.factor != 4 || l.msix == 0 || l.config(l.msix+2, 2)&0x7FF != 3 {
		t.Errorf("factor %d, MSI-X at %#x with %d vectors", l.factor, l.msix, l.config(l.msix+2, 2)&0x7FF+1)
	}
}

func TestCommonRegistersAtReset(t *testing.T) {
	l := raw(t, &virtiotest.Echo{Sizes: []uint16{16, 64}})
	for _, c := range []struct {
		name string
		off  uint64
		n    int
		want uint32
	}{
		{"device features", 4, 4, 3 << 28}, {"driver features", 0xC, 4, 0}, {"config vector", 0x10, 2, 0xFFFF},
		{"queues", 0x12, 2, 2}, {"status", 0x14, 1, 0}, {"queue size", 0x18, 2, 16}, {"queue vector", 0x1A, 2, 0xFFFF},
		{"queue enable", 0x1C, 2, 0}, {"notify offset", 0x1E, 2, 0}, {"desc", 0x20, 4, 0}, {"notification data", 0x38, 2, 0},
		{"queue reset", 0x3A, 2, 0}, {"queue size, too wide", 0x18, 4, 0}, {"status, too wide", 0x14, 2, 0}, {"odd", 0x11, 2, 0},
	} {
		if got := l.get(l.common(c.off), c.n); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
	for sel, want := range map[uint32][3]uint32{0: {16, 0, 0}, 1: {64, 0, 1}, 2: {0, 0, 0}, 0xFFFF: {0, 0, 0}} {
		l.put(l.common(0x16), 2, sel)
		l.put(l.common(0x1A), 2, 1)
		got := [3]uint32{l.get(l.common(0x18), 2), l.get(l.common(0x1C), 2), l.get(l.common(0x1E), 2)}
		if got != want {
			t.Errorf("queue %d: size, enabled, offset %v, want %v", sel, got, want)
		}
		if v := l.get(l.common(0x1A), 2); sel > 1 && v != 0xFFFF {
			t.Errorf("queue %d has vector %d", sel, v)
		}
	}
}

func TestQueueRegisters(t *testing.T) {
	l := raw(t, &virtiotest.Echo{})
	p := make([]byte, 8)
	l.f.Write(l.common(0x20), binary.LittleEndian.AppendUint64(nil, 0x1_2345_6780)) // in one
	l.put(l.common(0x28), 4, 0x2000)
	l.put(l.common(0x2C), 4, 1)
	if l.f.Read(l.common(0x28), p); binary.LittleEndian.Uint64(p) != 0x1_0000_2000 || l.get(l.common(0x24), 4) != 1 {
		t.Errorf("driver area % x, desc high %#x", p, l.get(l.common(0x24), 4))
	}
	l.put(l.common(0x18), 2, 8)
	l.put(l.common(0x1C), 2, 2) // neither 0 nor 1
	if l.get(l.common(0x1C), 2) != 0 {
		t.Error("enabled by a 2")
	}
	l.put(l.common(0x1C), 2, 1)
	l.put(l.common(0x1C), 2, 0)
	l.put(l.common(0x18), 2, 4)
	l.put(l.common(0x20), 4, 0)
	want := virtio.QueueState{Size: 8, Ready: true, Desc: 0x1_2345_6780, Driver: 0x1_0000_2000}
	if got := l.tr.Instance().Queue(0); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	l.SetStatus(0)
	if l.get(l.common(0x1C), 2) != 0 || l.get(l.common(0x18), 2) != 256 {
		t.Error("the reset left the queue as it was")
	}
}

func TestVectorsThatAreNotThere(t *testing.T) {
	l := raw(t, &virtiotest.Echo{})
	for _, v := range []uint32{2, 0x7FF, 0xFFFE} {
		l.put(l.common(0x10), 2, v)
		l.put(l.common(0x1A), 2, v)
		if l.get(l.common(0x10), 2) != vpci.NoVector || l.get(l.common(0x1A), 2) != vpci.NoVector {
			t.Errorf("vector %#x was taken", v)
		}
	}
}

func TestWithoutVectorsTheStatusTells(t *testing.T) {
	dev := &virtiotest.Echo{}
	d := virtiotest.New(t, dev, virtiotest.Options{Connect: connect})
	l := d.Link().(*link)
	l.put(l.common(0x10), 2, vpci.NoVector)
	l.put(l.common(0x16), 2, 0)
	l.put(l.common(0x1A), 2, vpci.NoVector)
	if fd := l.tr.Interrupt(0).FD(); fd < 0 {
		t.Errorf("descriptor %d", fd)
	}
	sent := l.f.Sent()
	l.tr.Interrupt(0).Signal()
	dev.SetConfig(0, []byte{1})
	if got := l.get(l.caps[3].addr, 1); got != 3 {
		t.Errorf("ISR %#x, want 3", got)
	}
	if got := l.get(l.caps[3].addr, 1); got != 0 {
		t.Errorf("ISR %#x when read again", got)
	}
	if l.f.Sent() != sent {
		t.Error("a message was sent")
	}
}

func TestGenerationAndConfigInterrupt(t *testing.T) {
	dev := &virtiotest.Echo{}
	d := virtiotest.New(t, dev, virtiotest.Options{Connect: connect})
	l := d.Link().(*link)
	before := l.get(l.common(0x15), 1)
	dev.SetConfig(2, []byte("abcdefgh"))
	d.WaitConfigChanged()
	if l.get(l.common(0x15), 1) == before || string(d.ReadConfig(2, 8)) != "abcdefgh" {
		t.Errorf("config %q, generation %d", d.ReadConfig(2, 8), l.get(l.common(0x15), 1))
	}
	d.WriteConfig(0, []byte{7})
	if d.ReadConfig(0, 1)[0] != 7 || !bytes.Equal(d.ReadConfig(30, 4), []byte{0, 0, 0, 0}) {
		t.Error("the configuration space is wrong")
	}
}

func TestIOEventsMoveWithTheBAR(t *testing.T) {
	d := virtiotest.New(t, &virtiotest.Echo{Sizes: []uint16{8, 8}}, virtiotest.Options{Connect: connect})
	l := d.Link().(*link)
	d.Queue(1).Do([][]byte{{1}}, []int{1})
	l.setConfig(0x10, 4, uint32(lowAt+0x10_0000))
	l.find()
	for i, b := range l.f.IOEvents() {
		if want := (bus.IOEvent{Addr: lowAt + 0x10_3000 + 4*uint64(i), FD: b.FD}); b != want {
			t.Errorf("ioeventfd %+v, want %+v", b, want)
		}
	}
	d.Queue(1).Do([][]byte{{1}}, []int{1})
	l.setConfig(4, 2, 4)
	if n := len(l.f.IOEvents()); n != 0 {
		t.Errorf("%d ioeventfds with the decoder off", n)
	}
	l.setConfig(4, 2, 6)
	if n := len(l.f.IOEvents()); n != 2 {
		t.Errorf("%d ioeventfds for 2 queues", n)
	}
	d.Queue(0).Do([][]byte{{1}}, []int{1})
	l.SetStatus(0)
	if n := len(l.f.IOEvents()); n != 0 {
		t.Errorf("%d ioeventfds after a reset", n)
	}
}

func TestConfigurationWindow(t *testing.T) {
	l := raw(t, &virtiotest.Echo{Sizes: []uint16{16, 64}})
	at := l.caps[5].at
	l.setConfig(4, 2, 0) // the BAR is not even mapped
	access := func(off, n uint32) {
		l.setConfig(at+4, 1, 0)
		l.setConfig(at+8, 4, off)
		l.setConfig(at+12, 4, n)
	}
	access(0x12, 2)
	if got := l.config(at+16, 2); got != 2 {
		t.Errorf("number of queues %d", got)
	}
	access(0x16, 2)
	l.setConfig(at+16, 2, 1)
	access(0x18, 2)
	if got := l.config(at+16, 4); got != 64 {
		t.Errorf("size of queue 1: %d", got)
	}
	for _, c := range [][2]uint32{{0x12, 3}, {0x13, 2}, {0x3FFE, 4}, {0x4000, 1}, {0xFFFF_FFFF, 1}, {0xFFFF_FFFC, 4}, {0, 0}, {0, 8}} {
		access(c[0], c[1])
		l.setConfig(at+16, 4, 0xFFFF_FFFF)
		l.config(at+16, 4)
	}
	access(0x14, 1)
	l.setConfig(at+4, 1, 1) // no such BAR
	l.setConfig(at+16, 1, 3)
	if s := l.tr.Instance().Status(); s != 0 {
		t.Errorf("status %#x by way of another BAR", s)
	}
}

func TestSaveRestore(t *testing.T) {
	dev := &virtiotest.Echo{Sizes: []uint16{16, 16}}
	d := virtiotest.New(t, dev, virtiotest.Options{Connect: connect, Packed: true})
	d.Queue(1).Do([][]byte{{1}}, []int{1})
	d = d.SaveRestore(&virtiotest.Echo{Sizes: []uint16{16, 16}})
	d.Queue(1).Do([][]byte{{2}}, []int{1})
	d.Queue(0).Do([][]byte{{2}}, []int{1})
	l := d.Link().(*link)
	for name, s := range map[string]*vpci.State{"version": {}, "queues": {Version: 1}} {
		if err := l.tr.SetState(s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTooManyQueues(t *testing.T) {
	in := virtio.New(&virtiotest.Echo{Sizes: make([]uint16, vpci.MaxQueues+1)}, virtio.Options{})
	if _, err := vpci.New(in, virtiotest.NewFabric(t)); err == nil {
		t.Error("accepted")
	}
	if _, err := vpci.New(in, nil); err == nil {
		t.Error("no fabric: accepted")
	}
}

// FuzzRegisters makes arbitrary accesses to the BAR and to configuration space.
func FuzzRegisters(f *testing.F) {
	access := func(kind byte, off uint16, v uint64) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint16([]byte{kind}, off), v)
	}
	var setUp []byte
	for _, a := range []struct {
		kind byte
		off  uint16
		v    uint64
	}{{0x80, 0x14, 0}, {0x80, 0x14, 3}, {0x83, 8, 1}, {0x83, 12, 1}, {0x80, 0x14, 11}, {0x81, 0x18, 8}, {0x87, 0x20, 0x1000},
		{0x87, 0x28, 0x2000}, {0x87, 0x30, 0x3000}, {0x81, 0x1A, 1}, {0x81, 0x1C, 1}, {0x80, 0x14, 15}, {0x81, 0x3000, 0}} {
		setUp = append(setUp, access(a.kind, a.off, a.v)...)
	}
	f.Add(setUp)
	f.Add(append(bytes.Clone(setUp), access(0xC3, 0x10, 0xD020_0000)...))
	f.Add(access(0x87, 0x1000, 0xFEE0_0000))
	f.Add(access(0xC1, 4, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := virtiotest.New(t, &virtiotest.Echo{Sizes: []uint16{16, 16}}, virtiotest.Options{Memory: 1 << 20, Connect: connect})
		l := d.Link().(*link)
		for ; len(b) >= 11; b = b[11:] {
			off, n := uint64(binary.LittleEndian.Uint16(b[1:])), uint64(b[0]&7)+1
			at := lowAt + off
			if b[0]&0x40 != 0 {
				at = ecamAt + 1<<15 + off%256
				n = min(n, 4)
			}
			p := bytes.Clone(b[3 : 3+n])
			if b[0]&0x80 != 0 {
				l.f.Write(at, p)
			} else {
				l.f.Read(at, p)
			}
		}
		l.setConfig(4, 2, 0)
		l.setConfig(0x10, 4, uint32(lowAt))
		l.find()
		l.probe()
		d.Reset()
		d.Queue(1).Do([][]byte{{1, 2}}, []int{2})
	})
}
