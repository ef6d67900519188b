package soft

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// writeInitrd builds one of the programs in the folder guest and writes an initramfs whose init it is. The test is skipped
// where machines are not to be started.
func writeInitrd(t *testing.T, program string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: starts machines")
	}
	init, err := lab.Build(t.Context(), "github.com/mayfly-vm/mayfly/guest/"+program)
	if err != nil {
		t.Fatal(err)
	}
	initrd := filepath.Join(t.TempDir(), "initrd")
	if err := lab.WriteInitramfsFile(initrd, []lab.Entry{{Name: "init", Host: init}}); err != nil {
		t.Fatal(err)
	}
	return initrd
}

// writeDisk writes an empty disk of 1 MiB.
func writeDisk(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
}

// patience is how long a guest may take.
const patience = 5 * time.Minute

// start starts a machine with one of the lab's kernels. It is closed with the test.
func start(t *testing.T, kernel string, c mayfly.Config) (*mayfly.VM, *machinetest.Output) {
	t.Helper()
	k, err := kernels.Get(t.Context(), kernel, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	out := new(machinetest.Output)
	c.Kernel, c.Console = k.Vmlinux(), mayfly.Console{Out: out}
	vm, err := mayfly.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { vm.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	if err := vm.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return vm, out
}

// powersOff waits until the guest has powered off.
func powersOff(t *testing.T, vm *mayfly.VM, out *machinetest.Output) {
	t.Helper()
	if o, err := vm.Wait(t.Context()); err != nil || o.Reason != mayfly.PowerOff {
		t.Fatalf("%+v, %v\n%s", o, err, out.Tail())
	}
}
