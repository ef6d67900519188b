package mmio_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/transport/mmio"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// raw is a device whose driver has done nothing yet.
func raw(t testing.TB, dev virtio.Device) *link {
	t.Helper()
	d := virtiotest.New(t, dev, over(virtiotest.Options{}))
	l := d.Link().(*link)
	l.SetStatus(0)
	return l
}

func TestRequests(t *testing.T) {
	for i := range 8 {
		ioeventfds, packed, panel := i&1 != 0, i&2 != 0, []byte(nil)
		if i&4 != 0 {
			panel = make([]byte, mmio.Size)
		}
		t.Run(fmt.Sprintf("ioeventfds=%v,packed=%v,panel=%v", ioeventfds, packed, panel != nil), func(t *testing.T) {
			f := virtiotest.NewFabric(t)
			f.NoIOEvents = !ioeventfds
			virtiotest.Exercise(t, f, packed, func(t testing.TB, in *virtio.Instance) virtiotest.Link { return connectPanel(t, f, in, panel) })
		})
	}
}

func TestRegistersAtReset(t *testing.T) {
	l := raw(t, &virtiotest.Echo{Sizes: []uint16{16, 64}})
	for _, c := range []struct {
		name string
		off  uint64
		want uint32
	}{
		{"MagicValue", 0, 0x74726976}, {"Version", 4, 2}, {"DeviceID", 8, 4}, {"VendorID", 0xC, 0x4C46594D},
		{"DeviceFeatures", 0x10, 3 << 28}, {"QueueSizeMax", 0x34, 16}, {"QueueReady", 0x44, 0},
		{"InterruptStatus", 0x60, 0}, {"Status", 0x70, 0}, {"SHMLenLow", 0xB0, 0xFFFF_FFFF},
		{"SHMLenHigh", 0xB4, 0xFFFF_FFFF}, {"SHMBaseLow", 0xB8, 0xFFFF_FFFF}, {"SHMBaseHigh", 0xBC, 0xFFFF_FFFF},
		{"QueueReset", 0xC0, 0}, {"one that isn't", 0x18, 0}, {"a write-only one", 0x30, 0},
	} {
		if got := l.read(c.off); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
	for sel, want := range []uint32{3 << 28, 1, 0, 0} {
		l.write(0x14, uint32(sel))
		if got := l.read(0x10); got != want {
			t.Errorf("DeviceFeatures %d: %#x, want %#x", sel, got, want)
		}
	}
	for sel, want := range map[uint32]uint32{0: 16, 1: 64, 2: 0, 1 << 16: 0, 1<<32 - 1: 0} {
		l.write(0x30, sel)
		if got := l.read(0x34); got != want {
			t.Errorf("QueueSizeMax of queue %#x: %d, want %d", sel, got, want)
		}
		l.write(0x44, 1) // of one that isn't: nothing
		if got, want := l.read(0x44), min(want, 1); got != want {
			t.Errorf("QueueReady of queue %#x: %d, want %d", sel, got, want)
		}
	}
}

func TestOnlyAligned32BitAccessesReachRegisters(t *testing.T) {
	l := raw(t, &virtiotest.Echo{})
	for _, n := range []int{1, 2, 3, 8} {
		p := bytes.Repeat([]byte{0xEE}, n)
		if l.tr.Read(0, p); !bytes.Equal(p, make([]byte, n)) {
			t.Errorf("%d bytes of MagicValue: % x", n, p)
		}
		l.tr.Write(0x70, bytes.Repeat([]byte{1}, n))
	}
	p := make([]byte, 4)
	if l.tr.Read(2, p); !bytes.Equal(p, make([]byte, 4)) {
		t.Errorf("at 2: % x", p)
	}
	l.tr.Write(0x71, []byte{1, 0, 0, 0})
	if s := l.Status(); s != 0 {
		t.Errorf("status %#x", s)
	}
}

func TestStatusBeyondAByteIsIgnored(t *testing.T) {
	l := raw(t, &virtiotest.Echo{})
	l.write(0x70, 3)
	for _, v := range []uint32{0x100, 0x104, 0xFFFF_FF00} {
		if l.write(0x70, v); l.Status() != 3 {
			t.Errorf("status %#x after a write of %#x", l.Status(), v)
		}
	}
}

func TestConfigSpaceTakesEveryWidth(t *testing.T) {
	dev := &virtiotest.Echo{}
	l := raw(t, dev)
	want := []byte("a configuration of 32 bytes ....")
	for off, n := range map[uint64]int{0: 8, 8: 4, 12: 2, 14: 1, 15: 1, 16: 8, 24: 8} {
		l.WriteConfig(off, want[off:off+uint64(n)])
	}
	for _, n := range []int{1, 2, 4, 8} {
		var got []byte
		for off := 0; off < 32; off += n {
			p := make([]byte, n)
			l.ReadConfig(uint64(off), p)
			got = append(got, p...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("by %d bytes: %q", n, got)
		}
	}
	p := []byte{1, 1, 1, 1, 1, 1, 1, 1}
	if l.ReadConfig(28, p); !bytes.Equal(p, append([]byte("...."), 0, 0, 0, 0)) {
		t.Errorf("across the end: % x", p)
	}
	if l.ReadConfig(0xF8, p); !bytes.Equal(p, make([]byte, 8)) {
		t.Errorf("after the end: % x", p)
	}
}

func TestGenerationAndConfigInterrupt(t *testing.T) {
	dev := &virtiotest.Echo{}
	d := virtiotest.New(t, dev, over(virtiotest.Options{}))
	l := d.Link().(*link)
	before := l.read(0xFC)
	dev.SetConfig(0, []byte{1})
	d.WaitConfigChanged()
	if l.read(0xFC) == before {
		t.Error("the generation did not change")
	}
	if l.read(0x60)&2 != 0 {
		t.Error("an acknowledged interrupt is still there")
	}
}

func TestReadyQueueKeepsItsAreas(t *testing.T) {
	l := raw(t, &virtiotest.Echo{})
	l.SetQueue(0, virtio.QueueState{Size: 8, Desc: 0x1_2345_6780, Driver: 0x2000, Device: 0xFFFF_FFFF_0000_3000})
	want := virtio.QueueState{Size: 8, Ready: true, Desc: 0x1_2345_6780, Driver: 0x2000, Device: 0xFFFF_FFFF_0000_3000}
	l.write(0x80, 0)
	l.write(0x38, 4)
	if got := l.tr.Instance().Queue(0); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	l.write(0x44, 0)
	l.write(0x38, 1<<16|8) // no queue has that size
	if got := l.tr.Instance().Queue(0); got.Ready || got.Size != 0 {
		t.Errorf("%+v, want one that is not ready and of no size", got)
	}
}

func TestForeignInterruptReadsAsUsed(t *testing.T) {
	d := virtiotest.New(t, &virtiotest.Echo{}, over(virtiotest.Options{}))
	l := d.Link().(*link)
	fd := l.tr.Interrupt(0).FD()
	if l.read(0x60) != 1 {
		t.Errorf("status %#x after the descriptor was given away", l.read(0x60))
	}
	if _, err := unix.Write(fd, binary.NativeEndian.AppendUint64(nil, 1)); err != nil {
		t.Fatal(err)
	}
	if l.wait(virtiotest.Deadline) != 1 || l.read(0x60) != 1 {
		t.Error("the back end's interrupt has no reason")
	}
	if l.SetStatus(0); l.read(0x60) != 0 {
		t.Error("the reset did not clear the status")
	}
}

func TestSaveRestoreRaisesWhatWasPending(t *testing.T) {
	dev := &virtiotest.Echo{}
	d := virtiotest.New(t, dev, over(virtiotest.Options{}))
	d.Queue(0).Do([][]byte{{1}}, []int{1})
	dev.SetConfig(0, []byte{7})
	l := d.Link().(*link)
	l.f.WaitMSI(msi, virtiotest.Deadline) // delivered, and then the guest stopped
	l.write(0x30, 1)
	d = d.SaveRestore(&virtiotest.Echo{})
	d.WaitConfigChanged()
	if got := d.ReadConfig(0, 1); got[0] != 7 {
		t.Errorf("config % x", got)
	}
	if got := d.Link().(*link).read(0x34); got != 0 {
		t.Errorf("the queue selector was lost: size %d", got)
	}
	d.Queue(0).Do([][]byte{{1}}, []int{1})
	if err := d.Link().(*link).tr.SetState(&mmio.State{Version: 9}); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("SetState of another version: %v", err)
	}
}

func TestNew(t *testing.T) {
	f := virtiotest.NewFabric(t)
	m, err := f.NewMessage()
	if err != nil {
		t.Fatal(err)
	}
	in := virtio.New(&virtiotest.Echo{}, virtio.Options{})
	for name, c := range map[string]mmio.Config{
		"no interrupt": {Fabric: f}, "no fabric": {Interrupt: m},
		"unaligned": {Fabric: f, Interrupt: m, Addr: 0x100}, "too high": {Fabric: f, Interrupt: m, Addr: 1 << 52},
	} {
		if _, err := mmio.New(in, c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	tr, err := mmio.New(in, mmio.Config{Fabric: f, Interrupt: m, Addr: base, GSI: 6})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tr.Parameter(), "virtio_mmio.device=512@0xd0000000:6"; got != want {
		t.Errorf("parameter %q, want %q", got, want)
	}
	if tr.Addr() != base || tr.GSI() != 6 {
		t.Errorf("at %#x, GSI %d", tr.Addr(), tr.GSI())
	}
}

func TestIOEventsEndWithTheReset(t *testing.T) {
	f := virtiotest.NewFabric(t)
	d := virtiotest.New(t, &virtiotest.Echo{Sizes: []uint16{8, 8, 8}}, virtiotest.Options{
		Connect: func(t testing.TB, in *virtio.Instance) virtiotest.Link { return connect(t, f, in) }})
	if n := len(f.IOEvents()); n != 4 {
		t.Errorf("%d ioeventfds for 3 queues and the acknowledgements", n)
	}
	d.Link().SetStatus(0)
	if n := len(f.IOEvents()); n != 0 {
		t.Errorf("%d ioeventfds after a reset", n)
	}
	d.Link().Notify(1) // ignored: the device does not run
}

func TestInterruptPathAllocatesNothing(t *testing.T) {
	d := virtiotest.New(t, &virtiotest.Echo{}, over(virtiotest.Options{}))
	l := d.Link().(*link)
	p := make([]byte, 4)
	if n := testing.AllocsPerRun(100, func() {
		l.tr.Read(0x60, p)
		l.tr.Write(0x64, p)
		l.tr.Write(0x50, p)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzRegisters makes arbitrary accesses: each is a byte for kind and width, an
// offset and a value. A driver that begins anew afterwards must find all well.
func FuzzRegisters(f *testing.F) {
	access := func(kind byte, off uint16, v uint64) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint16([]byte{kind}, off), v)
	}
	var setUp []byte
	for _, a := range []struct {
		off uint16
		v   uint64
	}{{0x70, 0}, {0x70, 3}, {0x24, 1}, {0x20, 1}, {0x70, 11}, {0x38, 8}, {0x80, 0x1000}, {0x90, 0x2000}, {0xA0, 0x3000}, {0x44, 1}, {0x70, 15}, {0x50, 0}} {
		setUp = append(setUp, access(0x83, a.off, a.v)...)
	}
	f.Add(setUp)
	f.Add(append(bytes.Clone(setUp), access(0x87, 0x100, 1<<63)...))
	f.Add(access(3, 0xFC, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := virtiotest.New(t, &virtiotest.Echo{Sizes: []uint16{16, 16}}, over(virtiotest.Options{Memory: 1 << 20}))
		l := d.Link().(*link)
		for ; len(b) >= 11; b = b[11:] {
			off := uint64(binary.LittleEndian.Uint16(b[1:])) % mmio.Size
			n := min(uint64(b[0]&7)+1, mmio.Size-off)
			p := bytes.Clone(b[3 : 3+n])
			if b[0]&0x80 != 0 {
				l.f.Write(base+off, p)
			} else {
				l.f.Read(base+off, p)
			}
		}
		d.Reset()
		d.Queue(1).Do([][]byte{{1, 2}}, []int{2})
		for l.f.WaitMSI(msi, time.Millisecond) {
		}
	})
}
