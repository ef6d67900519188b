package memory

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// advice is what each frame of a huge page of m asks for: "hg" huge pages, "nh"
// none, "" neither.
func advice(t *testing.T, m *Map) []string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	begin := uintptr(unsafe.Pointer(&m.backing[0]))
	list := make([]string, len(m.backing)/HugePageSize)
	var from, to uintptr
	for line := range strings.Lines(string(b)) {
		var a, z uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &a, &z); n == 2 {
			from, to = a, z
			continue
		}
		flags, ok := strings.CutPrefix(line, "VmFlags:")
		for i := range list {
			at := begin + uintptr(i)*HugePageSize
			for _, f := range strings.Fields(flags) {
				if ok && from <= at && at < to && (f == "hg" || f == "nh") {
					list[i] = f
				}
			}
		}
	}
	return list
}

func TestSmallPages(t *testing.T) {
	m, err := New([]Range{{0, 8 << 20}, {4 << 30, 4<<20 + PageSize}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	usual := []string{"", "hg", "hg", "hg", "hg", "hg", "hg"}
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skipf("no transparent huge pages on this host: %v", err)
	}
	if got := advice(t, m); !slices.Equal(got, usual) {
		t.Fatalf("new memory asks for %q, want %q", got, usual)
	}
	for _, c := range []struct {
		addr Addr
		n    uint64
		want []string
	}{
		{0, 0, usual},
		{0, 1, []string{"nh", "hg", "hg", "hg", "hg", "hg", "hg"}},
		{4<<20 - 1, 2, []string{"", "nh", "nh", "hg", "hg", "hg", "hg"}},
		{4 << 20, 2 << 20, []string{"", "hg", "nh", "hg", "hg", "hg", "hg"}},
		{4<<30 + 4<<20, PageSize, []string{"", "hg", "hg", "hg", "hg", "hg", "nh"}},
	} {
		if err := m.SmallPages(c.addr, c.n); err != nil {
			t.Errorf("SmallPages(%#x, %#x): %v", c.addr, c.n, err)
		}
		if got := advice(t, m); !slices.Equal(got, c.want) {
			t.Errorf("SmallPages(%#x, %#x): frames ask for %q, want %q", c.addr, c.n, got, c.want)
		}
		if err := m.Reset(); err != nil {
			t.Fatal(err)
		}
		if got := advice(t, m); !slices.Equal(got, usual) {
			t.Errorf("after Reset frames ask for %q, want %q", got, usual)
		}
	}
	if err := m.SmallPages(8<<20, 1); !errors.Is(err, ErrOutside) {
		t.Errorf("outside RAM: %v", err)
	}
}
