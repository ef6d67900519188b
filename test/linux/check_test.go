package linux

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/lab"
)

// TestCheckGuest runs the check guest with all its points. The task register is
// among them on real hardware only: the nest's emulator aborts as a whole
// ("invalid tss type") when a 32-bit guest uses a TSS that is marked busy, as the
// ABI wants it and as VMRUN loads it.
func TestCheckGuest(t *testing.T) {
	real := lab.Inside() == "native"
	kernel := filepath.Join(t.TempDir(), "check.elf")
	if err := os.WriteFile(kernel, check.ELF, 0o644); err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(initrdFile)
	if err != nil {
		t.Fatal(err)
	}
	module = module[:100<<10]
	initrd := filepath.Join(t.TempDir(), "module")
	if err := os.WriteFile(initrd, module, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cpus   int
		memory uint64 // MiB
		x2apic bool
		load   mayfly.Load
	}{
		{1, 256, false, mayfly.LoadAuto},
		{4, 256, true, mayfly.LoadMap},
		{4, 5 << 10, false, mayfly.LoadCopy},
	} {
		t.Run(size(c.cpus, c.memory), func(t *testing.T) {
			g := start(t, mayfly.Config{
				Kernel: kernel, Initrd: []string{initrd}, CPUs: c.cpus, Memory: c.memory * mib, Load: c.load,
				Cmdline: check.Cmdline(check.Options{Memory: c.memory * mib, CPUs: c.cpus, Modules: []uint32{check.Sum(module)}, Task: real, X2APIC: c.x2apic}),
			})
			g.ends(mayfly.PowerOff)
			r, err := check.Parse(bytes.NewReader([]byte(g.out.String())))
			if err != nil {
				t.Fatalf("%v\n%s", err, g.out.Tail())
			}
			task, skipped := false, 0
			for _, p := range r.Points {
				if !p.OK {
					t.Error(p)
				}
				if p.Skipped {
					skipped++
				} else if strings.HasPrefix(p.Title, "tr ") {
					task = true
				}
			}
			want := 0 // points that need what is not there
			if c.cpus == 1 {
				want += 2
			}
			if !real {
				want++
			}
			if skipped != want {
				t.Errorf("%d points were skipped, want %d: %v", skipped, want, r.Points)
			}
			if task != real {
				t.Errorf("the task register was tried: %t, want %t", task, real)
			}
		})
	}
}
