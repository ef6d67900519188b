package soft_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/guest/privileged"
)

// qemuCommand is QEMU's command line for all cases of the guest, and the folder in which it has its memory, as the file ram.
func qemuCommand(t *testing.T, g *privileged.Guest) (dir string, args []string) {
	t.Helper()
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is not installed")
	}
	dir = t.TempDir()
	ram, kernel := filepath.Join(dir, "ram"), filepath.Join(dir, "kernel")
	if err := os.WriteFile(kernel, g.ELF, 0o600); err != nil {
		t.Fatal(err)
	}
	addr, vars := privileged.Range(0, len(g.Cases), false)
	memory := make([]byte, addr+uint64(len(vars)))
	copy(memory[addr:], vars)
	if err := errors.Join(os.WriteFile(ram, memory, 0o600), os.Truncate(ram, privileged.Memory)); err != nil {
		t.Fatal(err)
	}
	return dir, []string{
		qemu,
		"-M", "microvm,memory-backend=ram,rtc=off,pit=off,pic=off", "-accel", "tcg", "-cpu", "qemu64,vendor=GenuineIntel,+smep,+pdpe1gb,+movbe,+popcnt,+sse4.1,+sse4.2,+ssse3,+rdtscp,-vme,-de", "-icount", "shift=0",
		"-m", fmt.Sprint(privileged.Memory >> 20), "-object", fmt.Sprintf("memory-backend-file,id=ram,size=%d,mem-path=%s,share=on", privileged.Memory, ram),
		"-nodefaults", "-display", "none", "-device", fmt.Sprintf("isa-debug-exit,iobase=%#x,iosize=4", privileged.EndPort), "-kernel", kernel,
	}
}

// onQEMU runs all cases on QEMU.
func onQEMU(t *testing.T, g *privileged.Guest) []privileged.Result {
	t.Helper()
	dir, args := qemuCommand(t, g)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	begin := time.Now()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	var end *exec.ExitError
	if !errors.As(err, &end) || end.ExitCode() != 1 {
		t.Errorf("qemu: %v\n%s", err, out)
	}
	t.Logf("QEMU took %v", time.Since(begin))
	f, err := os.Open(filepath.Join(dir, "ram"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log, err := unix.Mmap(int(f.Fd()), privileged.Log, privileged.LogSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(log) }()
	list, err := g.Results(log)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if !list[i].Ran && g.Cases[i].Want == "" {
			t.Fatalf("QEMU does not come to an end of %s", g.Cases[i].Name)
		}
	}
	return list
}
