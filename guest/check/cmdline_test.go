package check_test

import (
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/guest/check"
)

func TestCmdline(t *testing.T) {
	tests := []struct {
		name string
		in   check.Options
		want string // between check=… and check-end
	}{
		{"nothing", check.Options{}, "-"},
		{"machine", check.Options{Memory: 1 << 30, CPUs: 4, Modules: []uint32{0xab, 0xcd}}, "memory=1073741824 cpus=4 modules=2 module-sum=0xab"},
		{"no modules", check.Options{Modules: []uint32{}}, "modules=0"},
		{"extras", check.Options{Task: true, X2APIC: true}, "task x2apic"},
		{"loads", check.Options{NoChecks: true, Spew: 4096, Echo: true, Mark: 7}, "nocheck spew=4096 echo mark=7"},
		{"end", check.Options{Scribble: true, End: check.Reboot}, "scribble end=reboot"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := check.Cmdline(tt.in)
			head, rest, _ := strings.Cut(got, " ")
			orders, ok := strings.CutSuffix(rest, " check-end")
			if !ok || !strings.HasPrefix(head, "check=0x") || orders != tt.want {
				t.Errorf("Cmdline = %q, want %q in the middle", got, tt.want)
			}
		})
	}
	for _, n := range []int{100, 2048, 4000} {
		if got := len(check.Cmdline(check.Options{Memory: 1 << 30, Pad: n})); got != n {
			t.Errorf("Pad %d: %d bytes", n, got)
		}
	}
}

func TestSumTellsOrderAndLength(t *testing.T) {
	seen := map[uint32]string{}
	for _, s := range []string{"", "\x00", "a", "a\x00", "abcdefgh", "efghabcd", "abcdefg", "abcdefgh\x00"} {
		v := check.Sum([]byte(s))
		if other, ok := seen[v]; ok {
			t.Errorf("Sum(%q) = Sum(%q) = %#x", s, other, v)
		}
		seen[v] = s
	}
}

func TestSpew(t *testing.T) {
	if got := string(check.Spew(20)); got != "0000000\n0000001\n0000" {
		t.Errorf("Spew(20) = %q", got)
	}
}
