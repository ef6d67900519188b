package ioapic_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/ioapic"
)

const (
	level  = 1 << 15
	masked = 1 << 16
	irr    = 1 << 14
)

// sink records messages.
type sink struct {
	got []bus.MSI
	err error
}

func (s *sink) SendMSI(m bus.MSI) error {
	if s.err != nil {
		return s.err
	}
	s.got = append(s.got, m)
	return nil
}

// chip accesses a Device as a guest does.
type chip struct {
	*ioapic.Device
	sink *sink
}

func newChip(pins int) chip {
	s := new(sink)
	return chip{ioapic.New(pins, s), s}
}

func (c chip) put(off uint64, v uint32) {
	c.Device.Write(off, binary.LittleEndian.AppendUint32(nil, v))
}

func (c chip) get(reg uint32) uint32 {
	c.put(0, reg)
	var p [4]byte
	c.Device.Read(0x10, p[:])
	return binary.LittleEndian.Uint32(p[:])
}

func (c chip) set(reg, v uint32) {
	c.put(0, reg)
	c.put(0x10, v)
}

func (c chip) entry(pin, v uint32) { c.set(0x10+2*pin, v) }

func TestRegisters(t *testing.T) {
	c := newChip(8)
	for _, r := range []struct{ reg, want uint32 }{
		{0, 0}, {1, 0x0007_0020}, {2, 0}, {3, 0}, {0x0F, 0},
		{0x10, masked}, {0x11, 0}, {0x1E, masked}, {0x20, 0}, {0xFF, 0},
	} {
		if got := c.get(r.reg); got != r.want {
			t.Errorf("register %#x = %#x, want %#x", r.reg, got, r.want)
		}
	}
	for _, r := range []struct{ reg, write, want uint32 }{
		{0, 0xFFFF_FFFF, 0x0F00_0000},
		{1, 0xFFFF_FFFF, 0x0007_0020},
		{0x12, 0xFFFF_FFFF, 0x0001_AFFF}, // status and remote IRR are read only
		{0x13, 0xFFFF_FFFF, 0xFF00_0000}, // no extended destination
		{0x20, 0xFFFF_FFFF, 0},
	} {
		c.set(r.reg, r.write)
		if got := c.get(r.reg); got != r.want {
			t.Errorf("register %#x = %#x after %#x, want %#x", r.reg, got, r.write, r.want)
		}
	}
	if got := c.get(2); got != 0x0F00_0000 {
		t.Errorf("arbitration %#x, want the id", got)
	}
	c.Reset()
	if id, e := c.get(0), c.get(0x12); id != 0 || e != masked {
		t.Errorf("after reset id %#x, entry %#x", id, e)
	}
}

func TestPinsAreBounded(t *testing.T) {
	for pins, want := range map[int]uint32{-1: 0, 0: 0, 1: 0, 24: 23, 240: 239, 1000: 239} {
		if got := newChip(pins).get(1) >> 16; got != want {
			t.Errorf("%d pins: highest %d, want %d", pins, got, want)
		}
	}
}

func TestWidths(t *testing.T) {
	c := newChip(4)
	c.Device.Write(0, []byte{1}) // a byte selects
	var p [8]byte
	c.Device.Read(0x10, p[:])
	if p != [8]byte{0x20, 0, 3} {
		t.Errorf("eight bytes from the window: % x", p)
	}
	c.Device.Read(0x12, p[:1])
	if p[0] != 3 {
		t.Errorf("third byte %#x, want 3", p[0])
	}
	c.Device.Write(0, []byte{0x10})
	c.Device.Write(0x10, []byte{0x55, 0}) // half a register: ignored
	if got := c.get(0x10); got != masked {
		t.Errorf("entry %#x after a short write", got)
	}
}

func TestMessages(t *testing.T) {
	for _, c := range []struct {
		name     string
		low, dst uint32
		want     bus.MSI
	}{
		{"fixed, physical", 0x31, 0, bus.MSI{Addr: 0xFEE0_0000, Data: 0x31}},
		{"destination", 0x31, 0xFE, bus.MSI{Addr: 0xFEEF_E000, Data: 0x31}},
		{"logical, lowest priority", 0x931, 3, bus.MSI{Addr: 0xFEE0_3004, Data: 0x131}},
		{"level", level | 0x40, 1, bus.MSI{Addr: 0xFEE0_1000, Data: 0xC040}},
		{"NMI is an edge", level | 0x400, 0, bus.MSI{Addr: 0xFEE0_0000, Data: 0x400}},
		{"active low", 1<<13 | 0x22, 0, bus.MSI{Addr: 0xFEE0_0000, Data: 0x22}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newChip(6)
			d.set(0x10+2*5+1, c.dst<<24)
			d.entry(5, c.low)
			d.Line(5).Set(true)
			if !slices.Equal(d.sink.got, []bus.MSI{c.want}) {
				t.Fatalf("sent %x, want %x", d.sink.got, c.want)
			}
			if r := d.Routes()[5]; r.Pin != 5 || r.MSI != c.want || r.Masked {
				t.Fatalf("route %+v", r)
			}
		})
	}
}

func TestEdges(t *testing.T) {
	c := newChip(8)
	line := c.Line(4)
	pulse(line) // masked: lost
	c.entry(4, 0x31)
	if len(c.sink.got) != 0 {
		t.Fatal("an edge that came masked, and went, was delivered")
	}
	line.Set(true)
	line.Set(true)
	c.EOI(0x31)
	if len(c.sink.got) != 1 {
		t.Fatalf("%d messages for one edge", len(c.sink.got))
	}
	if c.get(0x18)&irr != 0 {
		t.Fatal("remote IRR of an edge")
	}
	line.Set(false)
	pulse(line)
	if len(c.sink.got) != 2 {
		t.Fatalf("%d messages for two edges", len(c.sink.got))
	}
}

func TestEdgeHeldWhileMasked(t *testing.T) {
	c := newChip(8)
	line := c.Line(5)
	line.Set(true)
	c.entry(5, masked|0x31)
	if len(c.sink.got) != 0 {
		t.Fatal("delivered though masked")
	}
	c.entry(5, 0x31)
	c.entry(5, masked|0x31)
	c.entry(5, 0x31)
	if len(c.sink.got) != 1 {
		t.Fatalf("%d messages, want 1 when the mask goes", len(c.sink.got))
	}
}

func TestLevels(t *testing.T) {
	c := newChip(8)
	line := c.Line(1)
	c.entry(1, level|0x41)
	line.Set(true)
	if len(c.sink.got) != 1 || c.get(0x12)&irr == 0 {
		t.Fatalf("%d messages, entry %#x", len(c.sink.got), c.get(0x12))
	}
	line.Set(false)
	line.Set(true)
	if len(c.sink.got) != 1 {
		t.Fatal("sent again before the end of interrupt")
	}
	c.EOI(0x40)
	if len(c.sink.got) != 1 {
		t.Fatal("another vector's end of interrupt counted")
	}
	c.EOI(0x41)
	if len(c.sink.got) != 2 {
		t.Fatal("not asserted again by a line that is high")
	}
	line.Set(false)
	c.put(0x40, 0x41) // the EOI register
	if len(c.sink.got) != 2 || c.get(0x12)&irr != 0 {
		t.Fatalf("%d messages, entry %#x", len(c.sink.got), c.get(0x12))
	}
	c.entry(1, masked|level|0x41)
	line.Set(true)
	if len(c.sink.got) != 2 {
		t.Fatal("sent though masked")
	}
	c.entry(1, level|0x41)
	if len(c.sink.got) != 3 {
		t.Fatal("not sent when the mask went")
	}
	// How Linux clears a stuck remote IRR.
	c.entry(1, masked|0x41)
	c.entry(1, masked|level|0x41)
	if c.get(0x12)&irr != 0 {
		t.Fatal("remote IRR survived a switch to edge")
	}
}

func TestLevelNotDelivered(t *testing.T) {
	c := newChip(2)
	c.sink.err = errors.New("no such processor")
	c.entry(0, level|0x41)
	c.Line(0).Set(true)
	if c.get(0x10)&irr != 0 {
		t.Fatal("remote IRR is set for a message that was not delivered")
	}
}

func TestOnRoutes(t *testing.T) {
	c := newChip(4)
	var calls [][]ioapic.Route
	c.OnRoutes(func(r []ioapic.Route) { calls = append(calls, r) })
	c.entry(2, 0x30)
	c.entry(2, masked|0x30)
	c.set(0x15, 1<<24)
	if len(calls) != 0 {
		t.Fatal("called for an edge")
	}
	c.entry(2, masked|level|0x30)
	c.entry(2, level|0x30) // only the mask
	if len(calls) != 1 {
		t.Fatalf("%d calls, want 1", len(calls))
	}
	want := ioapic.Route{Pin: 2, MSI: bus.MSI{Addr: 0xFEE0_1000, Data: 0xC030}, Level: true, Masked: true}
	if len(calls[0]) != 4 || calls[0][2] != want || calls[0][1].Level {
		t.Fatalf("routes %+v", calls[0])
	}
	c.set(0x15, 2<<24)
	c.entry(2, 0x30)
	if len(calls) != 3 || calls[2][2].Level {
		t.Fatalf("%d calls, want 3", len(calls))
	}
	c.entry(1, level)
	c.Reset()
	if len(calls) != 5 || calls[4][1].Level {
		t.Fatalf("%d calls after a reset, want 5", len(calls))
	}
}

func TestAllocatesNothing(t *testing.T) {
	c := newChip(8)
	c.sink.got = make([]bus.MSI, 0, 1<<16)
	c.entry(4, 0x31)
	line := c.Line(4)
	p := make([]byte, 4)
	if n := testing.AllocsPerRun(100, func() {
		pulse(line)
		c.Device.Read(0x10, p)
		c.Device.Write(0x10, p)
		c.EOI(0x31)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestManyProcessors(t *testing.T) {
	d := ioapic.New(8, lockedSink{new(sync.Mutex)})
	var wg sync.WaitGroup
	for cpu := range 4 {
		line := d.Line(cpu)
		wg.Go(func() {
			p := make([]byte, 4)
			for i := range 2000 {
				pulse(line)
				d.Write(0, []byte{byte(i)})
				d.Write(0x10, []byte{byte(i), byte(i >> 3), byte(i >> 9), 0})
				d.Read(0x10, p)
				d.EOI(byte(i))
			}
		})
	}
	wg.Wait()
}

type lockedSink struct{ *sync.Mutex }

func (s lockedSink) SendMSI(bus.MSI) error {
	if !s.TryLock() {
		return errors.New("two messages at once")
	}
	s.Unlock()
	return nil
}

func FuzzDevice(f *testing.F) {
	f.Add([]byte{0, 0x18, 0x10, 0x31, 0x81, 4, 0x82, 4, 0x40, 0x31})
	f.Fuzz(func(t *testing.T, ops []byte) {
		c := newChip(8)
		c.OnRoutes(func(r []ioapic.Route) {
			if len(r) != 8 {
				t.Fatalf("%d routes", len(r))
			}
		})
		var p [8]byte
		for len(ops) >= 2 {
			op, v := ops[0], ops[1]
			ops = ops[2:]
			switch {
			case op == 0x81:
				c.Line(int(v % 8)).Set(true)
			case op == 0x82:
				c.Line(int(v % 8)).Set(false)
			case op == 0x83:
				c.EOI(v)
			case op == 0x84:
				c.Reset()
			case op&0x80 != 0:
				c.Device.Read(uint64(v)<<4|uint64(op&15), p[:1+int(op>>4&7)])
			default:
				for i := range p {
					p[i] = v * byte(i+1)
				}
				c.Device.Write(uint64(op&0x50), p[:1+int(op&7)])
			}
			for _, m := range c.sink.got {
				if m.Addr>>20 != 0xFEE || m.Data&^0xC7FF != 0 {
					t.Fatalf("message %x", m)
				}
			}
			c.sink.got = c.sink.got[:0]
		}
		for i := range uint32(8) {
			e := c.get(0x10 + 2*i)
			if e&irr != 0 && e&level == 0 {
				t.Fatalf("entry %d is %#x: remote IRR of an edge", i, e)
			}
		}
	})
}

// pulse drives an edge: up and down again.
func pulse(l bus.Line) {
	l.Set(true)
	l.Set(false)
}
