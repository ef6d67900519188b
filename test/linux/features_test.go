package linux

import (
	"slices"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
)

// TestFeaturesOnRequest expects nested virtualisation and counters in a guest's processors.
func TestFeaturesOnRequest(t *testing.T) {
	needsKVM(t, "has no nested virtualisation and no counters")
	for _, nested := range []bool{false, true} {
		name := "default"
		if nested {
			name = "nested"
		}
		t.Run(name, func(t *testing.T) {
			g := start(t, mayfly.Config{Kernel: smallKernel, Nested: nested, Cmdline: words("mayfly.test=poweroff")})
			g.ends(mayfly.PowerOff)
			flags := strings.Fields(g.report().Flags)
			if got := slices.Contains(flags, "svm") || slices.Contains(flags, "vmx"); got != nested {
				t.Errorf("virtualisation is %v, want %v: %s", got, nested, flags)
			}
			for _, flag := range []string{"perfctr_core", "arch_perfmon", "pdcm"} {
				if slices.Contains(flags, flag) {
					t.Errorf("the processors have %s: %s", flag, flags)
				}
			}
		})
	}
}
