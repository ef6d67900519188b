package serial

import (
	"slices"
	"strings"
	"testing"
)

func TestScannerFinds(t *testing.T) {
	for _, c := range []struct {
		name, stream string
		patterns     []string
		want         []int
	}{
		{"in a line", "[ 0.1] Run /init as init process\r\n", []string{"Kernel panic", "Run /init"}, []int{1}},
		{"after a false start", "RunRun /init", []string{"Run /init"}, []int{0}},
		{"prefix that repeats", "aaab", []string{"aab"}, []int{0}},
		{"overlapping", "ababab", []string{"abab"}, []int{0, 0}},
		{"two at once", "xyz", []string{"yz", "xyz"}, []int{0, 1}},
		{"one byte", "a.a", []string{"a"}, []int{0, 0}},
		{"nothing", "Run /sbin/init", []string{"Run /init"}, nil},
		{"none to find", "abc", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []int
			s, err := NewScanner(func(i int) { got = append(got, i) }, c.patterns...)
			if err != nil {
				t.Fatal(err)
			}
			s.Scan([]byte(c.stream))
			if !slices.Equal(got, c.want) {
				t.Fatalf("found %v, want %v", got, c.want)
			}
		})
	}
}

func TestScannerResets(t *testing.T) {
	n := 0
	s, err := NewScanner(func(int) { n++ }, "abcd")
	if err != nil {
		t.Fatal(err)
	}
	s.Scan([]byte("ab"))
	s.Reset()
	s.Scan([]byte("cd"))
	if n != 0 {
		t.Fatal("found across a reset")
	}
}

func TestScannerRefuses(t *testing.T) {
	if _, err := NewScanner(nil, ""); err == nil {
		t.Error("an empty pattern was taken")
	}
	if _, err := NewScanner(nil, strings.Repeat("x", 1<<16)); err == nil {
		t.Error("a pattern of 64 KiB was taken")
	}
	if _, err := NewScanner(nil, slices.Repeat([]string{"x"}, 65)...); err == nil {
		t.Error("65 patterns were taken")
	}
}

func TestDeviceScansOutput(t *testing.T) {
	var got []int
	var d *Device
	s, err := NewScanner(func(i int) {
		got = append(got, i)
		d.Reset() // the device is unlocked, so that even this works
	}, "Power down")
	if err != nil {
		t.Fatal(err)
	}
	d = New(Config{Scan: s})
	writeAll(d, []byte("reboot: Power down\n"))
	d.outb(regMCR, mcrLoop)
	writeAll(d, []byte("Power down"))
	if !slices.Equal(got, []int{0}) {
		t.Fatalf("found %v, want one", got)
	}
}

func FuzzScanner(f *testing.F) {
	f.Add("aab", "ab", "aaabab")
	f.Fuzz(func(t *testing.T, a, b, stream string) {
		var got [2]int
		s, err := NewScanner(func(i int) { got[i]++ }, a, b)
		if err != nil {
			return
		}
		s.Scan([]byte(stream))
		for i, p := range []string{a, b} {
			n := 0
			for j := range len(stream) {
				if strings.HasPrefix(stream[j:], p) {
					n++
				}
			}
			if got[i] != n {
				t.Fatalf("%q in %q: found %d times, is there %d times", p, stream, got[i], n)
			}
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	s, _ := NewScanner(func(int) {}, "Run /init as init process", "Kernel panic - not syncing", "reboot: System halted", "reboot: Power down", "reboot: Restarting system")
	line := []byte("[    0.000000] a line of the kernel's log, with eighty characters altogether....\n")
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		s.Scan(line)
	}
}
