package memory_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/mayfly-vm/mayfly/memory"
)

func newMap(t *testing.T, ranges ...memory.Range) *memory.Map {
	t.Helper()
	m, err := memory.New(ranges, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestSliceIsBounded(t *testing.T) {
	m := newMap(t, memory.Range{Addr: 0, Size: 1 << 20}, memory.Range{Addr: 4 << 30, Size: 1 << 20})
	for _, c := range []struct {
		addr memory.Addr
		n    uint64
		ok   bool
	}{
		{0, 1 << 20, true},
		{1<<20 - 1, 1, true},
		{1 << 20, 0, true}, // an empty range at the very end
		{1<<20 - 1, 2, false},
		{1 << 20, 1, false},
		{0, 1<<20 + 1, false},
		{2 << 30, 1, false},
		{4<<30 - 1, 2, false},
		{4 << 30, 1 << 20, true},
		{4<<30 + 1, 1 << 20, false},
		{16, ^uint64(0), false}, // would wrap around
		{^memory.Addr(0), 1, false},
		{^memory.Addr(0), ^uint64(0), false},
	} {
		s, err := m.Slice(c.addr, c.n)
		if (err == nil) != c.ok || c.ok && uint64(len(s)) != c.n {
			t.Errorf("Slice(%#x, %#x): %d bytes, %v; want ok=%v", c.addr, c.n, len(s), err, c.ok)
		}
		if err != nil && !errors.Is(err, memory.ErrOutside) {
			t.Errorf("Slice(%#x, %#x): %v does not wrap ErrOutside", c.addr, c.n, err)
		}
	}
}

func FuzzSlice(f *testing.F) {
	m, err := memory.New([]memory.Range{{Addr: 0, Size: 1 << 20}, {Addr: 4 << 30, Size: 2 << 20}}, memory.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint64(0), uint64(1))
	f.Add(^uint64(0), ^uint64(0))
	f.Add(uint64(4<<30), uint64(2<<20+1))
	f.Fuzz(func(t *testing.T, addr, n uint64) {
		s, err := m.Slice(memory.Addr(addr), n)
		if err == nil && uint64(len(s)) != n {
			t.Fatalf("%d bytes for %d", len(s), n)
		}
		if err == nil && n > 0 {
			s[0]++
			s[n-1]++
		}
	})
}

func TestBadRangesAreRefused(t *testing.T) {
	for name, r := range map[string][]memory.Range{
		"none":      {},
		"empty":     {{Addr: 0, Size: 0}},
		"unaligned": {{Addr: 0, Size: 4097}},
		"wraps":     {{Addr: ^memory.Addr(0) &^ 4095, Size: 8192}},
		"overlap":   {{Addr: 0, Size: 8192}, {Addr: 4096, Size: 4096}},
		"too much":  {{Addr: 0, Size: 1 << 50}},
	} {
		if m, err := memory.New(r, memory.Options{}); err == nil {
			m.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMapFileIsPrivateAndResetForgetsIt(t *testing.T) {
	m := newMap(t, memory.Range{Addr: 0, Size: 4 << 20})
	want := bytes.Repeat([]byte("mayfly!\n"), 2*4096/8)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := m.MapFile(2<<20, f, 0, 8192); err != nil {
		t.Fatal(err)
	}
	s, _ := m.Slice(2<<20, 8192)
	if !bytes.Equal(s, want) {
		t.Fatal("the mapping does not show the file")
	}
	s[0] = 'X'
	if b, _ := os.ReadFile(path); b[0] != 'm' {
		t.Fatal("a write reached the file")
	}
	if err := m.MapFile(2<<20+1, f, 0, 4096); err == nil {
		t.Error("an unaligned address was accepted")
	}
	if err := m.MapFile(4<<20, f, 0, 4096); !errors.Is(err, memory.ErrOutside) {
		t.Errorf("mapping outside RAM: %v", err)
	}
	if err := m.Reset(); err != nil {
		t.Fatal(err)
	}
	if s, _ = m.Slice(2<<20, 8192); !bytes.Equal(s, make([]byte, 8192)) {
		t.Fatal("something is left after Reset")
	}
}

func TestHostMemoryIsHugePageAligned(t *testing.T) {
	m := newMap(t, memory.Range{Addr: 0, Size: 3 << 20}, memory.Range{Addr: 4 << 30, Size: 1 << 20})
	for i := range m.Regions() {
		if p := uintptr(unsafe.Pointer(m.Regions()[i].Pointer())); p%memory.HugePageSize != 0 {
			t.Errorf("region %d at host %#x", i, p)
		}
	}
}

func TestTerabytesCanBePromised(t *testing.T) {
	m, err := memory.New([]memory.Range{{Addr: 0, Size: 3 << 30}, {Addr: 4 << 30, Size: 4 << 40}}, memory.Options{})
	if err != nil {
		t.Skipf("this host refuses to overcommit 4 TiB: %v", err)
	}
	defer m.Close()
	s, err := m.Slice(4<<30+4<<40-8, 8)
	if err != nil {
		t.Fatal(err)
	}
	s[0] = 1
}
