package bus_test

import (
	"bytes"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
)

// echo answers reads with its id and remembers the last offset.
type echo struct {
	id  byte
	off uint64
	got []byte
}

func (e *echo) Read(off uint64, p []byte) {
	e.off = off
	for i := range p {
		p[i] = e.id
	}
}

func (e *echo) Write(off uint64, p []byte) {
	e.off = off
	e.got = append(e.got[:0], p...)
}

func add(t *testing.T, b *bus.Bus, name string, base, size uint64, h bus.Handler) {
	t.Helper()
	if err := b.Add(name, base, size, h); err != nil {
		t.Fatal(err)
	}
}

func TestDispatch(t *testing.T) {
	var b bus.Bus
	serial, power, top := &echo{id: 1}, &echo{id: 2}, &echo{id: 3}
	// Not in order: Add sorts.
	add(t, &b, "power", 0x600, 8, power)
	add(t, &b, "top", math.MaxUint64-3, 4, top)
	add(t, &b, "serial", 0x3F8, 8, serial)

	for _, c := range []struct {
		name string
		addr uint64
		n    int
		want *echo
		off  uint64
	}{
		{"first byte", 0x3F8, 1, serial, 0},
		{"last byte", 0x3FF, 1, serial, 7},
		{"last word", 0x3FE, 2, serial, 6},
		{"across the end", 0x3FF, 2, nil, 0},
		{"below", 0x3F7, 1, nil, 0},
		{"across the start", 0x3F7, 2, nil, 0},
		{"above", 0x400, 1, nil, 0},
		{"whole block", 0x600, 8, power, 0},
		{"three bytes", 0x601, 3, power, 1},
		{"last of the address space", math.MaxUint64, 1, top, 3},
		{"beyond the address space", math.MaxUint64, 2, nil, 0},
		{"nothing", 0x600, 0, nil, 0},
		{"too wide", 0x600, 9, nil, 0},
		{"zero", 0, 4, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := make([]byte, c.n)
			ok := b.Read(c.addr, p)
			if ok != (c.want != nil) {
				t.Fatalf("Read(%#x, %d bytes) = %v", c.addr, c.n, ok)
			}
			fill := byte(0xFF)
			if c.want != nil {
				fill = c.want.id
				if c.want.off != c.off {
					t.Errorf("Read: offset %d, want %d", c.want.off, c.off)
				}
			}
			if !bytes.Equal(p, bytes.Repeat([]byte{fill}, c.n)) {
				t.Errorf("Read filled % x, want all %#x", p, fill)
			}

			in := bytes.Repeat([]byte{0x5A}, c.n)
			if ok := b.Write(c.addr, in); ok != (c.want != nil) {
				t.Fatalf("Write(%#x, %d bytes) = %v", c.addr, c.n, ok)
			}
			if c.want != nil && (c.want.off != c.off || !bytes.Equal(c.want.got, in)) {
				t.Errorf("Write: offset %d, bytes % x", c.want.off, c.want.got)
			}
		})
	}
}

func TestEmptyBusAnswersNothing(t *testing.T) {
	var b bus.Bus
	p := []byte{0, 0}
	if b.Read(0x60, p) || b.Write(0x60, p) {
		t.Fatal("an empty bus answered")
	}
	if p[0] != 0xFF || p[1] != 0xFF {
		t.Fatalf("read % x, want ff ff", p)
	}
}

func TestAddRefuses(t *testing.T) {
	for _, c := range []struct {
		name       string
		base, size uint64
		want       string
	}{
		{"empty", 0x10, 0, "is empty"},
		{"wraparound", math.MaxUint64, 2, "beyond the address space"},
		{"same", 0x100, 0x10, "overlaps old (0x100-0x10f)"},
		{"inside", 0x104, 1, "overlaps old"},
		{"around", 0xF0, 0x100, "overlaps old"},
		{"over the start", 0xFF, 2, "overlaps old"},
		{"over the end", 0x10F, 1, "overlaps old"},
		{"over the second", 0x11F, 2, "overlaps other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bus.Bus
			add(t, &b, "old", 0x100, 0x10, &echo{})
			add(t, &b, "other", 0x120, 0x10, &echo{})
			err := b.Add("new", c.base, c.size, &echo{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Add(%#x, %#x) = %v, want an error with %q", c.base, c.size, err, c.want)
			}
			add(t, &b, "gap", 0x110, 0x10, &echo{})
		})
	}
	var b bus.Bus
	if err := b.Add("nil", 0, 1, nil); err == nil {
		t.Fatal("Add took no handler")
	}
	add(t, &b, "everything", 0, math.MaxUint64, &echo{})
}

func TestAddWhileRunning(t *testing.T) {
	var b bus.Bus
	add(t, &b, "first", 0, 1, bus.Handler(constant(7)))
	var wg sync.WaitGroup
	wg.Go(func() {
		var p [1]byte
		for range 1000 {
			if !b.Read(0, p[:]) || p[0] != 7 {
				t.Error("the first device went away")
				return
			}
		}
	})
	for i := range uint64(100) {
		add(t, &b, "more", 10+(i*37)%100*2, 1, constant(9))
	}
	wg.Wait()
}

func TestRemove(t *testing.T) {
	var b bus.Bus
	p := []byte{0}
	if b.Remove(0) {
		t.Error("an empty bus had something to remove")
	}
	add(t, &b, "one", 0x100, 0x10, constant(1))
	add(t, &b, "two", 0x110, 0x10, constant(2))
	add(t, &b, "three", 0x120, 0x10, constant(3))
	if b.Remove(0x111) || b.Remove(0x130) {
		t.Error("removed by an address that is no block's first")
	}
	if !b.Remove(0x110) || b.Remove(0x110) {
		t.Error("a block is removed once")
	}
	for addr, want := range map[uint64]byte{0x10F: 1, 0x110: 0xFF, 0x11F: 0xFF, 0x120: 3} {
		if b.Read(addr, p); p[0] != want {
			t.Errorf("at %#x: %#x, want %#x", addr, p[0], want)
		}
	}
	add(t, &b, "elsewhere", 0x200, 0x10, constant(2))
	add(t, &b, "new", 0x110, 0x10, constant(4))
	if b.Read(0x110, p); p[0] != 4 {
		t.Errorf("the new block reads as %#x", p[0])
	}
}

func TestRemoveWhileRunning(t *testing.T) {
	var b bus.Bus
	add(t, &b, "stays", 0, 1, constant(7))
	var wg sync.WaitGroup
	wg.Go(func() {
		var p [1]byte
		for range 1000 {
			if !b.Read(0, p[:]) || p[0] != 7 {
				t.Error("the one that stays went away")
				return
			}
			if b.Read(10, p[:]); p[0] != 9 && p[0] != 0xFF {
				t.Errorf("read %#x", p[0])
				return
			}
		}
	})
	for range 100 {
		add(t, &b, "moves", 10, 1, constant(9))
		b.Remove(10)
	}
	wg.Wait()
}

type constant byte

func (c constant) Read(_ uint64, p []byte) {
	for i := range p {
		p[i] = byte(c)
	}
}
func (constant) Write(uint64, []byte) {}

func TestAccessAllocatesNothing(t *testing.T) {
	var b bus.Bus
	for i := range uint64(32) {
		add(t, &b, "device", i*0x1000, 0x1000, constant(1))
	}
	p := make([]byte, 4)
	if n := testing.AllocsPerRun(100, func() {
		b.Read(0x7008, p)
		b.Write(0x7008, p)
		b.Read(0x1_0000_0000, p)
	}); n != 0 {
		t.Fatalf("%v allocations an access", n)
	}
}

func BenchmarkRead(b *testing.B) {
	var bb bus.Bus
	for i := range uint64(16) {
		_ = bb.Add("device", i*0x1000, 0x1000, constant(1))
	}
	p := make([]byte, 4)
	for b.Loop() {
		bb.Read(0x7008, p)
	}
}
