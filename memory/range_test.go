package memory_test

import (
	"math"
	"testing"

	"github.com/mayfly-vm/mayfly/memory"
)

func TestRangeContains(t *testing.T) {
	r := memory.Range{Addr: 0x1000, Size: 0x1000}
	for _, c := range []struct {
		addr memory.Addr
		n    uint64
		want bool
	}{
		{0x1000, 0x1000, true},
		{0x1000, 0x1001, false},
		{0x1fff, 1, true},
		{0x1fff, 2, false},
		{0x2000, 0, true},
		{0x2001, 0, false},
		{0xfff, 1, false},
		{0x1800, math.MaxUint64, false},
		{math.MaxUint64, 0x1002, false},
	} {
		if got := r.Contains(c.addr, c.n); got != c.want {
			t.Errorf("%#x bytes at %#x: %v", c.n, c.addr, got)
		}
	}
	if last := (memory.Range{Addr: math.MaxUint64, Size: 1}); !last.Contains(math.MaxUint64, 1) {
		t.Error("the last address is not in its range")
	}
}

func TestRangesOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b memory.Range
		want bool
	}{
		{memory.Range{Addr: 0, Size: 0x1000}, memory.Range{Addr: 0xfff, Size: 1}, true},
		{memory.Range{Addr: 0, Size: 0x1000}, memory.Range{Addr: 0x1000, Size: 1}, false},
		{memory.Range{Addr: 0, Size: 0x1000}, memory.Range{Addr: 0x800, Size: 0}, false},
		{memory.Range{Addr: 1 << 63, Size: 1 << 63}, memory.Range{Addr: math.MaxUint64, Size: 1}, true},
		{memory.Range{Addr: 1 << 63, Size: 1 << 63}, memory.Range{Addr: 0, Size: 1 << 63}, false},
	} {
		if c.a.Overlaps(c.b) != c.want || c.b.Overlaps(c.a) != c.want {
			t.Errorf("%#x and %#x: expected %v", c.a, c.b, c.want)
		}
	}
}
