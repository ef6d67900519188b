package timeline

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 7: "7 ns", 999: "999 ns", 1000: "1.00 µs", 412 * time.Microsecond: "412 µs", 999499: "999 µs", 999500: "1.00 ms",
		4213 * time.Microsecond: "4.21 ms", 42130 * time.Microsecond: "42.1 ms", 999600 * time.Microsecond: "1.00 s", 1752 * time.Millisecond: "1.75 s", 100 * time.Second: "100 s",
	} {
		if got := duration(d); got != want {
			t.Errorf("duration(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 20250: "20,250", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range [][2]time.Duration{{0, 1}, {0, 7}, {0, 5210 * time.Microsecond}, {5210 * time.Microsecond, 1802 * time.Millisecond}, {3, 3}, {0, 1 << 62}} {
		list := ticks(c[0], c[1])
		if len(list) > 7 {
			t.Errorf("%v: %d ticks", c, len(list))
		}
		for _, at := range list {
			if at < c[0] || at > c[1] {
				t.Errorf("%v: tick at %v", c, at)
			}
		}
	}
	if got := ticks(0, 5210*time.Microsecond); len(got) != 6 || got[1] != time.Millisecond {
		t.Errorf("ticks(0, 5.21ms) = %v", got)
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("<a href='x'>&\"\x00\x1b\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		out := escape(s)
		if strings.ContainsAny(out, "<>\"'\x00\x1b\n\u202e") || !utf8.ValidString(out) {
			t.Errorf("escape(%q) = %q", s, out)
		}
	})
}
