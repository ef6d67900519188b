// Package soft boots Linux natively on the software processor.
package soft

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/testinit/report"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/kernels"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/rng"
)

// Stock kernels and a small one come to a user land, of a static Go program, and power off.
func TestLinux(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts machines")
	}
	init, err := lab.Build(t.Context(), "github.com/mayfly-vm/mayfly/guest/testinit")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	initrd, disk := filepath.Join(dir, "initrd"), filepath.Join(dir, "disk")
	if err := lab.WriteInitramfsFile(initrd, []lab.Entry{{Name: "init", Host: init}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
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
			k, err := kernels.Get(t.Context(), c.kernel, os.Stderr)
			if err != nil {
				t.Fatal(err)
			}
			out := new(machinetest.Output)
			vm, err := mayfly.New(mayfly.Config{
				Kernel: k.Vmlinux(), Initrd: []string{initrd}, Cmdline: mayfly.DefaultCmdline(c.bus) + " quiet", Processor: mayfly.ProcessorSoft, CPUs: c.cpus,
				Bus: c.bus, Devices: c.devices, Console: mayfly.Console{Out: out},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer vm.Close()
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			if err := vm.Start(ctx); err != nil {
				t.Fatal(err)
			}
			o, err := vm.Wait(context.Background())
			if err != nil || o.Reason != mayfly.PowerOff {
				t.Fatalf("%+v, %v\n%s", o, err, out.Tail())
			}
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
	if testing.Short() {
		t.Skip("-short: starts a machine")
	}
	init, err := lab.Build(t.Context(), "github.com/mayfly-vm/mayfly/guest/traceinit")
	if err != nil {
		t.Fatal(err)
	}
	initrd := filepath.Join(t.TempDir(), "initrd")
	if err := lab.WriteInitramfsFile(initrd, []lab.Entry{{Name: "init", Host: init}}); err != nil {
		t.Fatal(err)
	}
	k, err := kernels.Get(t.Context(), kernels.Debian61Cloud, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	out := new(machinetest.Output)
	vm, err := mayfly.New(mayfly.Config{Kernel: k.Vmlinux(), Initrd: []string{initrd}, Cmdline: mayfly.DefaultCmdline(mayfly.BusMMIO) + " quiet", Processor: mayfly.ProcessorSoft, Console: mayfly.Console{Out: out}})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := vm.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if o, err := vm.Wait(context.Background()); err != nil || o.Reason != mayfly.PowerOff {
		t.Fatalf("%+v, %v\n%s", o, err, out.Tail())
	}
	if s := out.String(); strings.Count(s, "trace: ok") != 3 || strings.Contains(s, "not ok") {
		t.Errorf("%s", out.Tail())
	}
}
