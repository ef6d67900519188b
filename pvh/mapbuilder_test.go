package pvh_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly/pvh"
)

func TestMapBuilder(t *testing.T) {
	type e = pvh.MemMapEntry
	for _, tt := range []struct {
		name string
		add  []e
		want []e
		err  error
	}{
		{name: "nothing"},
		{name: "an empty range adds nothing", add: []e{{5, 0, pvh.RAM}}},
		{
			name: "holes in RAM, before and after it, whatever comes first",
			add:  []e{{0x90, 0x20, pvh.Reserved}, {0, 0x100, pvh.RAM}, {0x20, 0x10, pvh.ACPI}, {0xF0, 0x20, pvh.NVS}},
			want: []e{{0, 0x20, pvh.RAM}, {0x20, 0x10, pvh.ACPI}, {0x30, 0x60, pvh.RAM}, {0x90, 0x20, pvh.Reserved}, {0xB0, 0x40, pvh.RAM}, {0xF0, 0x20, pvh.NVS}},
		},
		{
			name: "one hole over two ranges of RAM",
			add:  []e{{0, 0x10, pvh.RAM}, {0x20, 0x10, pvh.RAM}, {0x08, 0x20, pvh.Reserved}},
			want: []e{{0, 0x08, pvh.RAM}, {0x08, 0x20, pvh.Reserved}, {0x28, 8, pvh.RAM}},
		},
		{
			name: "a hole that swallows RAM",
			add:  []e{{0x10, 0x10, pvh.RAM}, {0, 0x40, pvh.Unusable}},
			want: []e{{0, 0x40, pvh.Unusable}},
		},
		{
			name: "neighbours of one type merge",
			add:  []e{{0x10, 0x10, pvh.RAM}, {0, 0x10, pvh.RAM}, {0x20, 8, pvh.Reserved}, {0x24, 8, pvh.Reserved}, {0x2C, 1, pvh.PMEM}},
			want: []e{{0, 0x20, pvh.RAM}, {0x20, 0xC, pvh.Reserved}, {0x2C, 1, pvh.PMEM}},
		},
		{name: "two claims", add: []e{{0, 0x10, pvh.Reserved}, {0xF, 1, pvh.ACPI}}, err: pvh.ErrOverlap},
		{name: "wraps around", add: []e{{1, ^uint64(0), pvh.RAM}}, err: pvh.ErrOutOfRange},
		{name: "above what x86 addresses", add: []e{{1<<52 - 1, 2, pvh.RAM}}, err: pvh.ErrOutOfRange},
		{name: "unknown type", add: []e{{1, 1, 8}}, err: pvh.ErrBadType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b pvh.MapBuilder
			for _, r := range tt.add {
				b.Add(r.Addr, r.Size, r.Type)
			}
			got, err := b.Build()
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err == nil {
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			}
		})
	}
}

func TestMapBuilderCountsEntries(t *testing.T) {
	var b pvh.MapBuilder
	for i := range uint64(63) {
		b.Add(i<<13, 1<<13, pvh.RAM)
		b.Add(i<<13+1<<12, 1<<12, pvh.Reserved)
	}
	if m, err := b.Build(); err != nil || len(m) != pvh.MaxEntries {
		t.Errorf("%d entries, error %v", len(m), err)
	}
	b.Add(1<<30, 1, pvh.ACPI)
	if _, err := b.Build(); !errors.Is(err, pvh.ErrTooManyEntries) {
		t.Errorf("error %v, want %v", err, pvh.ErrTooManyEntries)
	}
}

func TestRAMRanges(t *testing.T) {
	const gib = 1 << 30
	for _, tt := range []struct {
		size uint64
		want []pvh.MemMapEntry
	}{
		{0, nil},
		{16 << 20, []pvh.MemMapEntry{{Addr: 0, Size: 16 << 20, Type: pvh.RAM}}},
		{3 * gib, []pvh.MemMapEntry{{Addr: 0, Size: 3 * gib, Type: pvh.RAM}}},
		{3*gib + 4096, []pvh.MemMapEntry{{Addr: 0, Size: 3 * gib, Type: pvh.RAM}, {Addr: 4 * gib, Size: 4096, Type: pvh.RAM}}},
		{2048 * gib, []pvh.MemMapEntry{{Addr: 0, Size: 3 * gib, Type: pvh.RAM}, {Addr: 4 * gib, Size: 2045 * gib, Type: pvh.RAM}}},
	} {
		if d := cmp.Diff(tt.want, pvh.RAMRanges(tt.size)); d != "" {
			t.Errorf("%#x (-want +got):\n%s", tt.size, d)
		}
	}
}

// FuzzMapBuilder makes ranges of small numbers, 3 bytes each, so that they
// meet, and compares the map with one entry a byte of memory.
func FuzzMapBuilder(f *testing.F) {
	f.Add([]byte{0, 200, 1, 10, 20, 2, 15, 3, 2, 100, 100, 3})
	f.Add([]byte{0, 10, 2, 5, 10, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		var b pvh.MapBuilder
		var bytes [512]pvh.MemType
		clash := false
		for ; len(data) >= 3; data = data[3:] {
			addr, size, typ := uint64(data[0]), uint64(data[1]), pvh.MemType(data[2]%7+1)
			b.Add(addr, size, typ)
			for i := addr; i < addr+size; i++ {
				switch was := bytes[i]; {
				case was == 0 || was == pvh.RAM:
					bytes[i] = typ
				case typ != pvh.RAM && typ != was:
					clash = true
				}
			}
		}
		m, err := b.Build()
		if clash || errors.Is(err, pvh.ErrTooManyEntries) {
			if err == nil {
				t.Error("two types claim one byte, and Build doesn't mind")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range m {
			for a := e.Addr; a < e.End(); a++ {
				if bytes[a] != e.Type {
					t.Fatalf("%v, but byte %#x is %v", e, a, bytes[a])
				}
				bytes[a] = 0
			}
			if i > 0 && m[i-1].End() == e.Addr && m[i-1].Type == e.Type {
				t.Errorf("%v and %v aren't merged", m[i-1], e)
			}
		}
		for a, typ := range bytes {
			if typ != 0 {
				t.Fatalf("byte %#x is %v and not in the map, or is in it twice", a, typ)
			}
		}
	})
}

// FuzzMapBuilderAddresses feeds whole 64-bit addresses: the result must pass
// CheckMap whatever they are.
func FuzzMapBuilderAddresses(f *testing.F) {
	f.Add(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 1<<51), ^uint64(0)))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b pvh.MapBuilder
		for i := 0; len(data) >= 16; i, data = i+1, data[16:] {
			b.Add(binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:]), pvh.MemType(i%7+1))
		}
		if m, err := b.Build(); err == nil {
			if err := pvh.CheckMap(m); err != nil {
				t.Error(err)
			}
		}
	})
}
