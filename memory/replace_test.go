package memory

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// mappedFile is RAM of three frames with a file over the second, to be read only.
func mappedFile(t *testing.T) (m *Map, f *os.File, contents []byte) {
	t.Helper()
	contents = bytes.Repeat([]byte("The same. "), HugePageSize/10+1)[:HugePageSize]
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, contents, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if m, err = New([]Range{{0, 3 * HugePageSize}}, Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.MapReadOnly(HugePageSize, f, 0, HugePageSize); err != nil {
		t.Fatal(err)
	}
	return m, f, contents
}

// write is a write of the monitor; false: it raised a signal.
func write(m *Map, addr Addr) (done bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { done = recover() == nil }()
	_, _ = m.WriteAt([]byte{'!'}, int64(addr))
	return true
}

func TestReplacedMemoryCanBeWritten(t *testing.T) {
	m, f, contents := mappedFile(t)
	if write(m, HugePageSize) {
		t.Fatal("a write to what is mapped to be read only went through")
	}
	mappings := strings.Count(maps(t), f.Name())
	if err := m.Replace(HugePageSize, HugePageSize, func(b []byte) error { copy(b, contents); return nil }); err != nil {
		t.Fatal(err)
	}
	if got, _ := m.Slice(HugePageSize, HugePageSize); !bytes.Equal(got, contents) {
		t.Error("the new memory's contents are others")
	}
	if !write(m, HugePageSize) || !write(m, HugePageSize-1) || !write(m, 2*HugePageSize) {
		t.Error("a write failed")
	}
	if mappings != 1 || strings.Contains(maps(t), f.Name()) {
		t.Errorf("the file was mapped %d times and still is", mappings)
	}
}

func maps(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A guest that runs on may neither find other bytes in between nor a hole.
func TestReplacingIsOneStep(t *testing.T) {
	m, f, contents := mappedFile(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		debug.SetPanicOnFault(true)
		defer func() {
			if r := recover(); r != nil {
				t.Errorf("a reader met %v", r)
			}
		}()
		got, _ := m.Slice(HugePageSize, HugePageSize)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for i := 0; i < len(got); i += PageSize {
				if got[i] != contents[i] {
					t.Errorf("at %#x a reader found %#x, want %#x", i, got[i], contents[i])
					return
				}
			}
		}
	}()
	for range 50 {
		if err := m.Replace(HugePageSize, HugePageSize, func(b []byte) error { copy(b, contents); return nil }); err != nil {
			t.Error(err)
		}
		if err := m.MapReadOnly(HugePageSize, f, 0, HugePageSize); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestWhatCannotBeReplacedStays(t *testing.T) {
	m, _, contents := mappedFile(t)
	cut := errors.New("cut short")
	for _, c := range []struct {
		addr Addr
		n    uint64
		want string
	}{
		{HugePageSize, HugePageSize, "cut short"},
		{HugePageSize + PageSize, HugePageSize, "whole frames"},
		{HugePageSize, PageSize, "whole frames"},
		{2 * HugePageSize, 2 * HugePageSize, "outside guest memory"},
	} {
		before := advised(t)
		err := m.Replace(c.addr, c.n, func(b []byte) error { clear(b); return cut })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Replace(%#x, %#x): %v, want %q", c.addr, c.n, err, c.want)
		}
		if after := advised(t); after != before {
			t.Errorf("Replace(%#x, %#x) left memory: %d KiB, %d before", c.addr, c.n, after, before)
		}
	}
	if got, _ := m.Slice(HugePageSize, HugePageSize); !bytes.Equal(got, contents) {
		t.Error("the old memory is no more")
	}
}

// advised is how much of this process asks for huge pages, in KiB.
func advised(t *testing.T) (total int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if f[0] == "Size:" {
			size, _ = strconv.Atoi(f[1])
		}
		if f[0] == "VmFlags:" && slices.Contains(f, "hg") {
			total += size
		}
	}
	return total
}
