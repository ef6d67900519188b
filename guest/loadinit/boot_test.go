package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/guest/bench"
	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// The init under the small kernel on QEMU's own processor: each order is
// announced and answered, and wrong ones say so.
func TestOrders(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a machine")
	}
	k, err := kernels.Get(t.Context(), kernels.Microvm, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	init, err := lab.Build(t.Context(), "github.com/mayfly-vm/mayfly/guest/loadinit")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(init)
	if err != nil {
		t.Fatal(err)
	}
	initrd, disk := filepath.Join(t.TempDir(), "initrd"), filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(initrd, lab.Initramfs(map[string][]byte{"init": b}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := bench.WriteDisk(disk, 4<<20); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "192", "-no-reboot", "-serial", "stdio",
		"-drive", "if=none,id=d,format=raw,file="+disk, "-device", "virtio-blk-pci,drive=d", "-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n",
		"-kernel", k.Vmlinux(), "-initrd", initrd, "-append",
		"console=ttyS0 quiet panic=-1 -- blk=read,rand,4096,32,100 blk=write,seq,65536,2,100 blk=read,rand,4096 tcp=tx,10.77.0.1:5000,100,100 vsock=ping,5000,64,100").CombinedOutput()
	if err != nil {
		t.Fatalf("%v (%v)\n%s", err, ctx.Err(), out)
	}
	var got []string
	for line := range bytes.Lines(out) {
		if s := strings.TrimSpace(string(line)); strings.Contains(s, "=") {
			got = append(got, s)
		}
	}
	want := []string{"begin=0", "result=blk ", "begin=1", "result=blk ", "begin=2", `error="blk: `, "begin=3", "error=", "begin=4", "error=", "done=1"}
	if len(got) != len(want) {
		t.Fatalf("got %q, want lines that begin with %q", got, want)
	}
	for i := range want {
		r, _ := bench.ParseLine(got[i])
		if !strings.HasPrefix(got[i], want[i]) || r.Order != "" && (r.Number("ops") == 0 || r.Number("ns") == 0) {
			t.Errorf("line %d: %q, want %q and something counted", i, got[i], want[i])
		}
	}
}
