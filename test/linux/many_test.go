package linux

import (
	"fmt"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// TestSeveralMachinesAtOnce runs four in this process, of different kernels and
// sizes. None may see anything of another.
func TestSeveralMachinesAtOnce(t *testing.T) {
	type one struct {
		c mayfly.Config
		g *guest
	}
	var all []one
	for i, k := range []string{smallKernel, kernels.MicrovmNoPVH + "/" + vmlinux, smallKernel, debianKernel} {
		c := mayfly.Config{Kernel: k, CPUs: 1 + i%2, Memory: uint64(192+16*i) * mib, Cmdline: words("mayfly.report=brief", fmt.Sprintf("machine=%d", i))}
		all = append(all, one{c, start(t, c)})
	}
	for i, m := range all {
		m.g.ends(mayfly.PowerOff)
		expect(t, m.c, m.g.vm.Plan(), m.g.report())
		if err := m.g.vm.Close(); err != nil {
			t.Errorf("machine %d: %v", i, err)
		}
	}
}

// TestSameFilesOverAndOver starts one machine after the other from one kernel,
// by mapping: what a guest writes into its memory must never reach the file.
func TestSameFilesOverAndOver(t *testing.T) {
	for range 3 {
		c := mayfly.Config{Kernel: smallKernel, Load: mayfly.LoadMap, Cmdline: words("mayfly.report=brief", "mayfly.test=touch,64")}
		g := start(t, c)
		g.says("touch: 64 MiB hold what was written")
		g.ends(mayfly.PowerOff)
		expect(t, c, g.vm.Plan(), g.report())
	}
}
