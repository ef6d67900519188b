package bench_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/guest/bench"
)

const diskSize = 8 << 20

// The guest's drivers over each transport that QEMU has, on its own processor: what they count must be true.
func TestDevicesOnQEMU(t *testing.T) {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is not installed")
	}
	const board = "microvm,x-option-roms=off,pit=off,pic=off,rtc=off,isa-serial=on,auto-kernel-cmdline=off"
	tests := []struct {
		name, find string
		args       []string
	}{
		{"mmio", "mmio=0xfeb00000,512,24", []string{"-M", board, "-global", "virtio-mmio.force-legacy=false",
			"-device", "virtio-blk-device,drive=d", "-device", "virtio-rng-device"}},
		{"ports", "pci", []string{"-M", "q35", "-device", "virtio-blk-pci,drive=d,disable-legacy=on", "-device", "virtio-rng-pci,disable-legacy=on"}},
		{"ecam", "pci=0xe0000000", []string{"-M", board + ",pcie=on", "-device", "virtio-blk-pci,drive=d,disable-legacy=on", "-device", "virtio-rng-pci,disable-legacy=on"}},
		{"no event index", "mmio=0xfeb00000,512,24", []string{"-M", board, "-global", "virtio-mmio.force-legacy=false",
			"-device", "virtio-blk-device,drive=d,event_idx=off,indirect_desc=off", "-device", "virtio-rng-device,event_idx=off"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			kernel, disk := filepath.Join(dir, "bench.elf"), filepath.Join(dir, "disk")
			if err := os.WriteFile(kernel, bench.ELF, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := bench.WriteDisk(disk, diskSize); err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(disk)
			if err != nil {
				t.Fatal(err)
			}
			orders := " tsc_khz=1000000 blksum=1M blk=read,rand,4096,32,20 blk=read,seq,128k,4,20 blk=write,rand,4096,7,20 blk=read,rand,4096,1,20 rng=100,20"
			args := append([]string{"-accel", "tcg", "-cpu", "max", "-m", "256", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
				"-drive", "if=none,id=d,format=raw,file=" + disk, "-kernel", kernel, "-append", tt.find + orders}, tt.args...)
			got := results(t, exec.Command(qemu, args...))
			want := []string{"blksum", "blk", "blk", "blk", "blk", "rng"}
			if len(got) != len(want) {
				t.Fatalf("%d results, want %d: %v", len(got), len(want), got)
			}
			for i, r := range got {
				if r.Order != want[i] || r.Number("bad") != 0 {
					t.Errorf("result %d: %v, want a good %s", i, r, want[i])
				}
				if i > 0 && (r.Number("ops") == 0 || r.Number("ns") == 0 || r.Number("kicks") == 0 || r.Number("bytes") < r.Number("ops")) {
					t.Errorf("nothing counted: %v", r)
				}
			}
			if sum := fmt.Sprint(bench.Sum(content[:1<<20])); got[0].Text("sum") != sum {
				t.Errorf("sum %s, want %s", got[0].Text("sum"), sum)
			}
			if n, err := bench.CheckDisk(disk); err != nil || n == 0 {
				t.Errorf("%d blocks written, %v", n, err)
			}
		})
	}
}

// results runs a monitor until the guest is done.
func results(t *testing.T, cmd *exec.Cmd) (list []bench.Result) {
	t.Helper()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Run()
	for line := range strings.Lines(log.String()) {
		if r, ok := bench.ParseLine(line); ok {
			list = append(list, r)
		}
	}
	if err != nil || !strings.Contains(log.String(), bench.Done) {
		t.Fatalf("%v: %s", err, log.Bytes())
	}
	return list
}

func TestCheckDiskFindsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	for _, at := range []int64{0, bench.BlockSize - 1, 5 * bench.BlockSize, 8*bench.BlockSize - 3} {
		if err := bench.WriteDisk(path, 8*bench.BlockSize); err != nil {
			t.Fatal(err)
		}
		if n, err := bench.CheckDisk(path); n != 0 || err != nil {
			t.Fatalf("a fresh disk: %d, %v", n, err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{0x55}, at); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if _, err := bench.CheckDisk(path); err == nil {
			t.Errorf("damage at %d was not found", at)
		}
	}
}

func TestParseLine(t *testing.T) {
	r, ok := bench.ParseLine("result=blk op=read ops=20 ns=500000000 bytes=81920\r\n")
	if !ok || r.Order != "blk" || r.Text("op") != "read" || r.Number("ops") != 20 || r.PerSecond("bytes") != 163840 {
		t.Errorf("got %v, %v", r, ok)
	}
	for _, s := range []string{"", "done=1", "no result", "result"} {
		if r, ok := bench.ParseLine(s); ok {
			t.Errorf("%q was taken for %v", s, r)
		}
	}
}
