package machine

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/loader"
	"github.com/mayfly-vm/mayfly/kernel"
)

// A host is asked whether it can prefault for kernels that are mapped in part, and
// for no other: the question is a system call.
func TestHostsThatCannotPrefaultGetTheKernelCopied(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name      string
		size      uint64 // of read-only data
		mode      loader.Mode
		prefaults bool
		asked     int
		late      bool
	}{
		{"can", 4 * mib, loader.Auto, true, 1, false},
		{"cannot", 4 * mib, loader.Auto, false, 1, true},
		{"cannot, the default mode", 4 * mib, "", false, 1, true},
		{"small kernel", mib, loader.Auto, false, 0, false},
		{"all mapped on request", 4 * mib, loader.Map, false, 0, false},
		{"all copied on request", 4 * mib, loader.Copy, false, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			im := &kernel.Image{Segments: []kernel.Segment{{Paddr: 2 * mib, Filesz: c.size, Memsz: c.size, Flags: kernel.Read}}}
			p := &layout.Plan{Files: loader.Layout{Late: true}}
			p.Files.Kernel(im, 0, c.mode)
			h := &script{prefaults: c.prefaults}
			(&Spec{Plan: p, Host: h}).FitHost()
			if h.asked != c.asked {
				t.Errorf("the host was asked %d times, want %d", h.asked, c.asked)
			}
			if got := p.Files.HasLate(); got != c.late {
				t.Errorf("copied while the guest runs: %v, want %v", got, c.late)
			}
		})
	}
}
