package devices

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio/blk"
)

// engines are the ways to wait for a disk, each of which must pass a fault on.
var engines = []blk.Engine{blk.IOUring, blk.Threads}

// TestDiskTruncatedUnderneath takes the end of an image away. The guest sees I/O
// errors there and nowhere else, and all is well when the image is whole again.
func TestDiskTruncatedUnderneath(t *testing.T) {
	image := imageOf(t, 64*mib)
	writeAt(t, image, 1, 0, mib)
	d := blk.Config{Path: image}
	g := boot(t, small, mayfly.Config{Devices: []mayfly.DeviceConfig{d}})
	g.asks("check", "path=/dev/vda", "seed=1", "direct")
	if err := os.Truncate(image, 16*mib); err != nil {
		t.Fatal(err)
	}
	g.refuses("EIO", "check", "path=/dev/vda", "off=33554432", "direct")
	g.reports("disk ", image)
	g.asks("check", "path=/dev/vda", "seed=1", "direct")
	if err := os.Truncate(image, 64*mib); err != nil {
		t.Fatal(err)
	}
	g.asks("fill", "path=/dev/vda", "off=33554432", "seed=2", "direct")
	g.asks("check", "path=/dev/vda", "off=33554432", "seed=2", "direct")
	fileHas(t, image, 2, 32*mib, mib)
	g.powersOff()
}

// TestDiskOnFullFileSystem lets the host run out of space while the guest writes,
// and makes room again.
func TestDiskOnFullFileSystem(t *testing.T) {
	for _, engine := range engines {
		t.Run(string(engine), func(t *testing.T) {
			dir := tmpfs(t, "4m")
			image := filepath.Join(dir, "disk.img")
			if err := os.WriteFile(image, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(image, 64*mib); err != nil {
				t.Fatal(err)
			}
			d := blk.Config{Path: image, Engine: engine}
			g := boot(t, small, mayfly.Config{Devices: []mayfly.DeviceConfig{d}})
			g.refuses("EIO", "fill", "path=/dev/vda", "len=16777216", "direct")
			g.reports("disk ", image, "no space left on device")
			g.asks("check", "path=/dev/vda", "len=1048576", "direct") // what went in is there
			if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=64m"); err != nil {
				t.Fatal(err)
			}
			g.asks("fill", "path=/dev/vda", "len=16777216", "seed=2", "direct")
			fileHas(t, image, 2, 0, 16*mib)
			g.powersOff()
		})
	}
}

// tmpfs mounts one of that size.
func tmpfs(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// TestDiskGone takes a block device away from the host: its driver lets go of it.
func TestDiskGone(t *testing.T) {
	d := blk.Config{Path: goneDisk}
	g := boot(t, small, mayfly.Config{Devices: []mayfly.DeviceConfig{d}})
	g.asks("fill", "path=/dev/vda", "direct", "seed=3")
	g.asks("check", "path=/dev/vda", "direct", "seed=3")
	dev, err := filepath.EvalSymlinks(goneDisk)
	if err != nil {
		t.Fatal(err)
	}
	at, err := os.Readlink("/sys/block/" + filepath.Base(dev) + "/device")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/sys/bus/virtio/drivers/virtio_blk/unbind", []byte(filepath.Base(at)), 0); err != nil {
		t.Fatal(err)
	}
	g.refuses("EIO", "check", "path=/dev/vda", "direct", "seed=3")
	g.refuses("EIO", "fill", "path=/dev/vda", "direct", "seed=4")
	g.reports("disk ", goneDisk)
	g.powersOff()
}

// TestDiskChanged puts another image into the drive while the guest runs.
func TestDiskChanged(t *testing.T) {
	first, second := imageOf(t, 16*mib), imageOf(t, 8*mib)
	writeAt(t, first, 1, 0, mib)
	writeAt(t, second, 2, 0, mib)
	one := blk.Config{Path: first, Serial: "one"}
	g := boot(t, small, mayfly.Config{Devices: []mayfly.DeviceConfig{one}})
	g.asks("check", "path=/dev/vda", "seed=1", "direct")
	if err := g.vm.ChangeDisk(one.DeviceName(), blk.Config{Path: filepath.Join(t.TempDir(), "none")}); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a missing image: %v", err)
	}
	g.asks("check", "path=/dev/vda", "seed=1", "direct")
	if err := g.vm.ChangeDisk(one.DeviceName(), blk.Config{Path: second, Serial: "two"}); err != nil {
		t.Fatal(err)
	}
	g.asks("resized", "dev=vda", "size=8388608")
	g.asks("check", "path=/dev/vda", "seed=2", "direct")
	g.asks("fill", "path=/dev/vda", "seed=3", "direct")
	fileHas(t, second, 3, 0, mib)
	fileHas(t, first, 1, 0, mib)
	if got := g.asks("disk", "dev=vda")["serial"]; got != "two" {
		t.Errorf("serial number %q", got)
	}
	g.silent()
	g.powersOff()
}

// TestDiskLimits holds a disk to 1 MiB a second after the first.
func TestDiskLimits(t *testing.T) {
	image := imageOf(t, 16*mib)
	limit := ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: mib, Refill: time.Second}}
	one := blk.Config{Path: image, Limits: limit}
	g := boot(t, small, mayfly.Config{Devices: []mayfly.DeviceConfig{one}})
	begin := time.Now()
	g.asks("fill", "path=/dev/vda", "len=4194304", "direct")
	if took := time.Since(begin); took < 2500*time.Millisecond {
		t.Errorf("4 MiB at 1 MiB/s took %v", took)
	}
	fileHas(t, image, 1, 0, 4*mib)
	if err := g.vm.SetDiskLimits(one.DeviceName(), ratelimit.Config{}); err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	g.asks("fill", "path=/dev/vda", "len=4194304", "direct", "seed=2")
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("4 MiB without a limit took %v", took)
	}
	fileHas(t, image, 2, 0, 4*mib)
	g.powersOff()
}

// TestDiskSurvivesRebootAndPause restarts the guest's kernel, which finds the disk
// as it left it, lets the driver go and come back, and stops the machine in the
// middle of writes.
func TestDiskSurvivesRebootAndPause(t *testing.T) {
	for _, v := range []variant{{smallKernel, mayfly.BusMMIO, true, 2}, {smallKernel, mayfly.BusPCI, false, 2}} {
		t.Run(v.String(), func(t *testing.T) {
			image := imageOf(t, 16*mib)
			d := blk.Config{Path: image, Queues: 2}
			g := boot(t, v, mayfly.Config{Devices: []mayfly.DeviceConfig{d}})
			g.asks("fill", "path=/dev/vda", "seed=1")
			g.out.Forget()
			g.begin("reboot")
			g.ready()
			g.asks("check", "path=/dev/vda", "seed=1")
			for range 3 {
				for _, what := range []string{"unbind", "bind"} {
					g.asks("write", "path=/sys/bus/virtio/drivers/virtio_blk/"+what, "base64="+base64.StdEncoding.EncodeToString([]byte("virtio0")))
				}
				g.asks("check", "path=/dev/vda", "seed=1", "direct")
			}
			q := g.begin("fill", "path=/dev/vda", "seed=2", "len=8388608", "direct", "jobs=8")
			for range 5 {
				if err := g.vm.Pause(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := g.vm.Resume(); err != nil {
					t.Fatal(err)
				}
			}
			q.values()
			fileHas(t, image, 2, 0, 8*mib)
			g.silent()
			g.powersOff()
		})
	}
}
