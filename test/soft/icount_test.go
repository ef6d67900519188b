package soft

import (
	"bytes"
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/lab/kernels"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/rng"
)

var boots = flag.Int("boots", 3, "how many boots of Linux are compared where instructions are counted")

// Where time is that of instructions each boot of Linux executes as many, and prints the same.
func TestCountedInstructions(t *testing.T) {
	initrd, disk := writeInitrd(t, "testinit"), filepath.Join(t.TempDir(), "disk")
	for name, devices := range map[string][]mayfly.DeviceConfig{
		kernels.Microvm:        {blk.Config{Path: disk}, rng.Config{}},
		kernels.Debian612Cloud: nil, // its start goes by random numbers: keys have them in their names
	} {
		t.Run(name, func(t *testing.T) {
			var want []byte
			var count uint64
			for i := range *boots {
				writeDisk(t, disk)
				vm, out := start(t, name, mayfly.Config{
					Initrd: []string{initrd}, Cmdline: mayfly.DefaultCmdline(mayfly.BusMMIO), CountInstructions: true,
					Devices: devices,
				})
				if i%2 == 1 { // the host's kicks leave no trace
					time.Sleep(200 * time.Millisecond)
					if err := vm.Pause(t.Context()); err != nil {
						t.Fatal(err)
					}
					if err := vm.Resume(); err != nil {
						t.Fatal(err)
					}
				}
				powersOff(t, vm, out)
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
