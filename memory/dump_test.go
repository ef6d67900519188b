package memory

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"
)

// No part of guest memory is in a core dump, whatever is done to it.
func TestNotInCoreDumps(t *testing.T) {
	m, f, contents := mappedFile(t)
	check := func(when string) {
		t.Helper()
		begin := uintptr(unsafe.Pointer(&m.backing[0]))
		end := begin + uintptr(len(m.backing))
		b, err := os.ReadFile("/proc/self/smaps")
		if err != nil {
			t.Fatal(err)
		}
		var covered uintptr
		var from, to uintptr
		for line := range strings.Lines(string(b)) {
			var a, z uintptr
			if n, _ := fmt.Sscanf(line, "%x-%x ", &a, &z); n == 2 {
				from, to = max(a, begin), min(z, end)
				continue
			}
			if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && from < to {
				covered += to - from
				if !strings.Contains(flags+" ", " dd ") {
					t.Errorf("%s: %x-%x of guest memory would be dumped: flags%s", when, from, to, flags)
				}
			}
		}
		if covered != end-begin {
			t.Errorf("%s: %d bytes of %d are mapped", when, covered, end-begin)
		}
	}
	check("a file mapped")
	if err := m.Replace(HugePageSize, HugePageSize, func(b []byte) error { copy(b, contents); return nil }); err != nil {
		t.Fatal(err)
	}
	check("memory in its place")
	if err := m.MapFile(0, f, 0, PageSize); err != nil {
		t.Fatal(err)
	}
	if err := m.Reset(); err != nil {
		t.Fatal(err)
	}
	check("after a reset")
}
