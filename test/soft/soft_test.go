// Package soft boots Linux natively on the software processor.
package soft

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/testinit/report"
	"github.com/mayfly-vm/mayfly/lab/kernels"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/rng"
)

// Stock kernels and a small one come to a user land, of a static Go program, and power off.
func TestLinux(t *testing.T) {
	initrd, disk := writeInitrd(t, "testinit"), filepath.Join(t.TempDir(), "disk")
	writeDisk(t, disk)
	for _, c := range []struct {
		kernel  string
		cpus    int
		bus     mayfly.Bus
		devices []mayfly.DeviceConfig
	}{
		{kernels.Microvm, 1, mayfly.BusMMIO, []mayfly.DeviceConfig{blk.Config{Path: disk}, rng.Config{}}},
		{kernels.Microvm, 4, mayfly.BusPCI, []mayfly.DeviceConfig{blk.Config{Path: disk}, mayfly.Packed{DeviceConfig: rng.Config{}}}},
		{kernels.Debian61Cloud, 2, mayfly.BusMMIO, nil},
		{kernels.Debian612Cloud, 1, mayfly.BusMMIO, nil},
	} {
		t.Run(fmt.Sprintf("%s, %s, %d vCPUs", c.kernel, c.bus, c.cpus), func(t *testing.T) {
			begin := time.Now()
			vm, out := start(t, c.kernel, mayfly.Config{
				Initrd: []string{initrd}, Cmdline: mayfly.DefaultCmdline(c.bus) + " quiet", Processor: mayfly.ProcessorSoft, CPUs: c.cpus,
				Bus: c.bus, Devices: c.devices,
			})
			powersOff(t, vm, out)
			t.Logf("powered off after %v", time.Since(begin))
			r, err := report.Parse([]byte(out.String()))
			if err != nil {
				t.Fatalf("%v\n%s", err, out.Tail())
			}
			if len(r.Errors) > 0 || strings.Contains(out.String(), "BUG:") || strings.Contains(out.String(), "Oops:") {
				t.Errorf("%q\n%s", r.Errors, out.Tail())
			}
		})
	}
}

// A debugger in the guest steps through a program, and has breakpoints in debug registers.
func TestDebugger(t *testing.T) {
	vm, out := start(t, kernels.Debian61Cloud, mayfly.Config{
		Initrd: []string{writeInitrd(t, "traceinit")}, Cmdline: mayfly.DefaultCmdline(mayfly.BusMMIO) + " quiet", Processor: mayfly.ProcessorSoft,
	})
	powersOff(t, vm, out)
	if s := out.String(); strings.Count(s, "trace: ok") != 3 || strings.Contains(s, "not ok") {
		t.Errorf("%s", out.Tail())
	}
}
