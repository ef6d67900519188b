package linux

import (
	"errors"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

const (
	vmlinux = "vmlinux"
	vmlinuz = "vmlinuz"
	mib     = uint64(1) << 20
)

// boots are the machines of TestKernels. Each kernel comes from both its files,
// by both protocols, with 1, 2 and 4 processors, with little and with much
// memory, and in each way of loading; not every kernel in every combination.
var boots = []struct {
	kernel, file string
	boot         kernel.Boot
	cpus         int
	memory       uint64 // MiB
	load         mayfly.Load
	brief        bool // without the kernel's log, which takes a second to transmit
}{
	{kernels.Microvm, vmlinux, kernel.BootAuto, 1, 256, mayfly.LoadAuto, false},
	{kernels.Microvm, vmlinux, kernel.BootPVH, 2, 64, mayfly.LoadMap, false},
	{kernels.Microvm, vmlinux, kernel.BootPVH, 4, 5 << 10, mayfly.LoadCopy, false},
	{kernels.Microvm, vmlinuz, kernel.BootAuto, 2, 256, mayfly.LoadAuto, true},
	{kernels.Microvm, vmlinuz, kernel.BootLinux, 4, 64, mayfly.LoadMap, false},
	{kernels.Microvm, vmlinux, kernel.BootLinux, 1, 5 << 10, mayfly.LoadAuto, false},
	{kernels.Microvm, vmlinux, kernel.BootLinux, 2, 256, mayfly.LoadCopy, true},

	{kernels.MicrovmNoPVH, vmlinux, kernel.BootAuto, 1, 64, mayfly.LoadAuto, false},
	{kernels.MicrovmNoPVH, vmlinuz, kernel.BootAuto, 4, 256, mayfly.LoadMap, true},
	{kernels.MicrovmNoPVH, vmlinux, kernel.BootLinux, 2, 5 << 10, mayfly.LoadCopy, true},

	{kernels.Debian61Cloud, vmlinux, kernel.BootPVH, 1, 256, mayfly.LoadAuto, false},
	{kernels.Debian61Cloud, vmlinuz, kernel.BootAuto, 4, 5 << 10, mayfly.LoadMap, true},
	{kernels.Debian61Cloud, vmlinux, kernel.BootLinux, 2, 128, mayfly.LoadCopy, false},

	{kernels.Debian61, vmlinux, kernel.BootPVH, 2, 256, mayfly.LoadMap, false},
	{kernels.Debian61, vmlinuz, kernel.BootAuto, 1, 128, mayfly.LoadAuto, true},
	{kernels.Debian61, vmlinux, kernel.BootLinux, 4, 5 << 10, mayfly.LoadAuto, true},

	{kernels.Debian612Cloud, vmlinux, kernel.BootPVH, 4, 256, mayfly.LoadCopy, false},
	{kernels.Debian612Cloud, vmlinuz, kernel.BootAuto, 2, 5 << 10, mayfly.LoadAuto, true},
	{kernels.Debian612Cloud, vmlinux, kernel.BootLinux, 1, 128, mayfly.LoadMap, false},

	{kernels.Debian612, vmlinux, kernel.BootPVH, 1, 5 << 10, mayfly.LoadMap, false},
	{kernels.Debian612, vmlinuz, kernel.BootAuto, 4, 128, mayfly.LoadAuto, true},
	{kernels.Debian612, vmlinuz, kernel.BootLinux, 2, 256, mayfly.LoadCopy, true},
}

func TestKernels(t *testing.T) {
	for _, b := range boots {
		name := strings.Join([]string{b.kernel, b.file, string(b.boot), size(b.cpus, b.memory), string(b.load)}, "/")
		t.Run(name, func(t *testing.T) {
			w := "mayfly.report=full"
			if b.brief {
				w = "mayfly.report=brief"
			}
			c := mayfly.Config{
				Kernel: b.kernel + "/" + b.file, Boot: b.boot, CPUs: b.cpus, Memory: b.memory * mib, Load: b.load,
				Cmdline: words(w), CacheDir: cacheOf(b.kernel, b.file),
			}
			g := start(t, c)
			g.ends(mayfly.PowerOff)
			r := g.report()
			expect(t, c, g.vm.Plan(), r)
			if b.brief != (r.Dmesg == "") {
				t.Errorf("the report has %d bytes of the kernel's log", len(r.Dmesg))
			}
			want := kernel.PVH
			if b.boot == kernel.BootLinux || b.kernel == kernels.MicrovmNoPVH {
				want = kernel.Linux64
			}
			if p := g.vm.Plan(); p.Protocol != want || p.Delta != 0 {
				t.Errorf("entered by %v (%s), moved by %#x; want %v where it is", p.Protocol, p.Why, p.Delta, want)
			}
			t.Logf("%.2f s to the report", r.Uptime)
		})
	}
}

// TestKernelWithoutPVHSaysSo asks for what the kernel lacks.
func TestKernelWithoutPVHSaysSo(t *testing.T) {
	for _, file := range []string{vmlinux, vmlinuz} {
		vm, err := mayfly.New(mayfly.Config{Kernel: kernels.MicrovmNoPVH + "/" + file, Boot: kernel.BootPVH, CacheDir: cacheOf(kernels.MicrovmNoPVH, file)})
		if err == nil {
			vm.Close()
			t.Fatalf("%s: no error", file)
		}
		if !errors.Is(err, kernel.ErrNoProtocol) || !strings.Contains(err.Error(), "CONFIG_PVH=y") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", file, err)
		}
	}
}
