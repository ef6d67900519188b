package soft

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/kernels"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/rng"
)

var boots = flag.Int("boots", 3, "how many boots of Linux are compared where instructions are counted")

// Where time is that of instructions each boot of Linux executes as many, and prints the same.
func TestCountedInstructions(t *testing.T) {
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
	for name, devices := range map[string][]mayfly.DeviceConfig{
		kernels.Microvm:        {blk.Config{Path: disk}, rng.Config{}},
		kernels.Debian612Cloud: nil, // its start goes by random numbers: keys have them in their names
	} {
		t.Run(name, func(t *testing.T) {
			k, err := kernels.Get(t.Context(), name, os.Stderr)
			if err != nil {
				t.Fatal(err)
			}
			var want []byte
			var count uint64
			for i := range *boots {
				if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
					t.Fatal(err)
				}
				out := new(machinetest.Output)
				vm, err := mayfly.New(mayfly.Config{
					Kernel: k.Vmlinux(), Initrd: []string{initrd}, Cmdline: mayfly.DefaultCmdline(mayfly.BusMMIO), CountInstructions: true,
					Devices: devices, Console: mayfly.Console{Out: out},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer vm.Close()
				if err := vm.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if i%2 == 1 { // the host's kicks leave no trace
					time.Sleep(200 * time.Millisecond)
					if err := vm.Pause(t.Context()); err != nil {
						t.Fatal(err)
					}
					if err := vm.Resume(); err != nil {
						t.Fatal(err)
					}
				}
				if o, err := vm.Wait(context.Background()); err != nil || o.Reason != mayfly.PowerOff {
					t.Fatalf("%+v, %v\n%s", o, err, out.Tail())
				}
				n := vm.Stats().Instructions
				if i == 0 {
					want, count = []byte(out.String()), n
					t.Logf("%d instructions", n)
				} else if got := []byte(out.String()); n != count || !bytes.Equal(got, want) {
					at := 0
					for at < min(len(got), len(want)) && got[at] == want[at] {
						at++
					}
					t.Fatalf("boot %d has executed %d instructions, the first %d; their output is the same up to %q, and goes on with %q and %q", i+1, n, count,
						want[max(at-200, 0):at], got[at:min(at+100, len(got))], want[at:min(at+100, len(want))])
				}
				if err := vm.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
