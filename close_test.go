package mayfly_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

type closing struct {
	virtiotest.Echo
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

// image is an open disk image.
type image struct {
	disk.Image
	closed int
}

func (i *image) Close() error { i.closed++; return nil }

// New takes over what the configurations of devices hold open, whatever comes of it.
func TestNewThatFailsClosesDevices(t *testing.T) {
	leavesNothing(t)
	kernel := file(t, "check.elf", check.ELF)
	for name, c := range map[string]mayfly.Config{
		"a wrong field":          {Kernel: "vmlinux", CPUs: -1},
		"no kernel":              {Kernel: t.TempDir() + "/vmlinux"},
		"no KVM":                 {Kernel: kernel, KVM: "/dev/null"},
		"no memory":              {Kernel: kernel, HostReserve: 1 << 60, Prealloc: true},
		"a device that is wrong": {Kernel: kernel, Devices: []mayfly.DeviceConfig{blk.Config{}}},
		"a device that is nil":   {Kernel: kernel, Devices: []mayfly.DeviceConfig{nil, mayfly.Packed{}, virtio.Opened{}}},
		"no file":                {Kernel: kernel, Devices: []mayfly.DeviceConfig{blk.Config{Path: t.TempDir() + "/disk"}}},
	} {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		d, i := &closing{}, &image{}
		files := [3]*os.File{}
		for i := range files {
			if files[i], err = os.Open(os.DevNull); err != nil {
				t.Fatal(err)
			}
		}
		c.Devices = append(c.Devices, virtio.Opened{Name: "echo", Device: d}, mayfly.Packed{DeviceConfig: vnet.Config{FDs: fds[:1]}},
			&blk.Config{Image: i}, blk.Config{File: files[0]}, vsock.Config{Listener: files[1]},
			console.Config{Ports: []console.Port{{Console: true, Listener: files[2]}}})
		if _, err := mayfly.New(c); err == nil {
			t.Fatalf("%s: accepted", name)
		}
		if d.closed != 1 || i.closed != 1 {
			t.Errorf("%s: the device was closed %d times, the image %d times", name, d.closed, i.closed)
		}
		if n, err := unix.Read(fds[1], make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("%s: the card's socket is open", name)
		}
		unix.Close(fds[1])
		for i, f := range files {
			if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: file %d is open", name, i)
			}
		}
	}
}

// A device that is opened before another fails is closed.
func TestNewThatFailsAtALaterDevice(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	d := &closing{}
	_, err := mayfly.New(mayfly.Config{Kernel: file(t, "check.elf", check.ELF),
		Devices: []mayfly.DeviceConfig{virtio.Opened{Name: "echo", Device: d}, blk.Config{Path: t.TempDir() + "/disk"}}})
	if e := new(mayfly.DeviceError); !errors.As(err, &e) || !strings.HasPrefix(e.Device, "disk ") || d.closed != 1 {
		t.Errorf("%v; the device was closed %d times", err, d.closed)
	}
}

// ChangeDisk takes over the new medium's file, whatever comes of it.
func TestChangeDiskThatFailsClosesItsFile(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	vm, err := mayfly.New(mayfly.Config{Kernel: file(t, "check.elf", check.ELF), Devices: []mayfly.DeviceConfig{rng.Config{}}})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	change := func(device string, want error) {
		t.Helper()
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		if err := vm.ChangeDisk(device, blk.Config{File: f}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", device, err, want)
		}
		if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: the file is open", device)
		}
	}
	change("disk a", mayfly.ErrNoDevice)
	change("rng", errors.ErrUnsupported)
	vm.Close()
	change("rng", mayfly.ErrClosed)
}
