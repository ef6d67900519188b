package compute_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/guest/compute"
	"github.com/mayfly-vm/mayfly/guest/internal/rebuildtest"
)

func TestRebuildIsIdentical(t *testing.T) {
	rebuildtest.Identical(t, "compute.elf", compute.ELF)
}

// The results and counts of instructions are those of QEMU, whose time stamp counter counts instructions with -icount.
func TestCounts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is not installed")
	}
	kernel := filepath.Join(t.TempDir(), "compute.elf")
	if err := os.WriteFile(kernel, compute.ELF, 0o600); err != nil {
		t.Fatal(err)
	}
	var orders []string
	for _, c := range compute.All {
		orders = append(orders, c.Order(1))
	}
	cmd := exec.CommandContext(t.Context(), qemu, "-M", "microvm,x-option-roms=off,pit=off,pic=off,rtc=off,isa-serial=on,auto-kernel-cmdline=off",
		"-accel", "tcg", "-icount", "shift=0,sleep=off", "-m", "64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-kernel", kernel, "-append", strings.Join(orders, " "))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range compute.All {
		if want := fmt.Sprintf("result=%s value=%x ticks=%d\n", c.Name, c.Value, c.Instructions); !strings.Contains(string(out), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
}
