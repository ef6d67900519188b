package linux

import (
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/kernel"
)

// TestLongestCommandLine boots with as much as Linux takes, by both protocols. One
// byte more is refused.
func TestLongestCommandLine(t *testing.T) {
	const longest = 2047
	for _, boot := range []kernel.Boot{kernel.BootPVH, kernel.BootLinux} {
		line := words("mayfly.report=none", "mayfly.pad=")
		line = strings.Replace(line, "mayfly.pad=", "mayfly.pad="+strings.Repeat("x", longest-len(line)), 1)
		start(t, mayfly.Config{Kernel: smallKernel, Boot: boot, Cmdline: line}).ends(mayfly.PowerOff)
		if _, err := mayfly.NewPlan(mayfly.Config{Kernel: smallKernel, Boot: boot, Cmdline: line + "x"}); err == nil {
			t.Errorf("%v: %d bytes are accepted", boot, longest+1)
		}
	}
}

// TestWarningsAreTrue has parameters do what the plan warns of.
func TestWarningsAreTrue(t *testing.T) {
	for _, c := range []struct {
		word string
		end  mayfly.Reason
		says string // on the console
	}{
		{"noapic", mayfly.PowerOff, "failed to setup event handler for irq"},
		{"maxcpus=0", mayfly.PowerOff, "failed to setup event handler for irq"},
		{"acpi=noirq", mayfly.PowerOff, "failed to setup event handler for irq"},
		{"acpi=rsdt", mayfly.Halted, "Power off not available"},
	} {
		t.Run(c.word, func(t *testing.T) {
			g := start(t, mayfly.Config{Kernel: smallKernel, CPUs: 2, OnReboot: mayfly.RebootExit, Cmdline: words("mayfly.report=none", c.word)})
			if w := g.vm.Plan().Warnings; len(w) != 1 || !strings.HasPrefix(w[0], c.word+": ") {
				t.Errorf("warnings %q", w)
			}
			g.ends(c.end)
			if !strings.Contains(g.out.String(), c.says) {
				t.Errorf("the console lacks %q:\n%s", c.says, g.out.Tail())
			}
		})
	}
}
