package devices

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/virtio/blk"
)

// clean wants a file system without a fault.
func clean(t testing.TB, image string) {
	t.Helper()
	program, err := filepath.Abs(fsck)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "-f", "-n", image).CombinedOutput()
	if err != nil {
		t.Errorf("e2fsck -fn %s: %v\n%s", image, err, out)
	}
}

// TestRootOnDisk boots the small kernel with its root on a disk and without an
// initramfs, restarts it and checks the file system.
func TestRootOnDisk(t *testing.T) {
	for _, v := range []variant{{smallKernel, mayfly.BusMMIO, false, 2}, {smallKernel, mayfly.BusPCI, true, 1}} {
		t.Run(v.String(), func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "root.img")
			b, err := os.ReadFile(rootImage)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(image, b, 0o600); err != nil {
				t.Fatal(err)
			}
			d := blk.Config{Path: image}
			g := boot(t, v, mayfly.Config{
				Kernel: smallKernel, Initrd: []string{}, Devices: []mayfly.DeviceConfig{d},
				Cmdline: cmdline(v.bus, "root=/dev/vda", "rw", "init=/sbin/init"),
			})
			g.asks("fill", "path=/file", "len=4194304", "seed=7")
			g.asks("unmount", "on=/", "ro")
			g.out.Forget()
			g.begin("reboot")
			g.ready()
			if got := g.asks("check", "path=/file", "len=4194304", "seed=7")["sha256"]; got != sum(7, 0, 4*mib) {
				t.Errorf("after a restart the file has SHA-256 %s", got)
			}
			g.asks("unmount", "on=/", "ro")
			g.silent()
			g.powersOff()
			clean(t, image)
		})
	}
}
