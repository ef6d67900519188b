package linux

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
)

// TestKernelTruncatedUnderLinux cuts the kernel's file short while the guest
// runs on pages of it. That ends the machine with a message, and nothing else: the
// process, and another machine in it, go on.
func TestKernelTruncatedUnderLinux(t *testing.T) {
	b, err := os.ReadFile(smallKernel)
	if err != nil {
		t.Fatal(err)
	}
	for _, load := range []mayfly.Load{mayfly.LoadMap, mayfly.LoadCopy} {
		t.Run(string(load), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "vmlinux")
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
			in := newKeyboard(t)
			g := start(t, mayfly.Config{Kernel: file, CPUs: 2, Load: load, Console: mayfly.Console{In: in.r}, Cmdline: words("mayfly.test=ask", "mayfly.report=none")})
			g.says("ask: ready")
			if err := os.Truncate(file, 4096); err != nil {
				t.Fatal(err)
			}
			// Whatever the guest does next, it needs its kernel for that.
			in.types("poweroff\n")
			if load == mayfly.LoadCopy {
				g.ends(mayfly.PowerOff) // it has it
				return
			}
			o := g.ends(mayfly.ImageChanged)
			if !strings.Contains(o.Detail, file) || !strings.Contains(o.Detail, "truncated") || !strings.Contains(o.Detail, "load by copying") {
				t.Errorf("detail %q", o.Detail)
			}
		})
	}
	g := start(t, mayfly.Config{Kernel: smallKernel, Cmdline: words("mayfly.report=none")})
	g.ends(mayfly.PowerOff)
}
