package mayfly_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// A device is found by its name, whether the machine runs or not.
func TestDevicesAreControlledByName(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	dir := t.TempDir()
	socket, image, other := filepath.Join(dir, "net"), file(t, "image", make([]byte, 4096)), file(t, "other", make([]byte, 8192))
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := guest(t, check.Options{})
	cfg.Devices = []mayfly.DeviceConfig{
		blk.Config{Path: image}, mayfly.Packed{DeviceConfig: vnet.Config{Kind: vnet.Stream, Socket: socket}},
		console.Config{Ports: []console.Port{{Console: true}}}, rng.Config{},
	}
	vm, err := mayfly.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	disk := "disk " + image
	for i, d := range vm.Plan().Devices {
		if want := []string{disk, "net 0", "console", "rng"}[i]; d.Name != want {
			t.Errorf("device %d is %q, want %q", i, d.Name, want)
		}
	}
	limits := ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 1 << 20, Refill: time.Second}}
	wrong := ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 1, Refill: -1}}
	missing := blk.Config{Path: dir + "/none"}
	type call struct {
		name string
		do   func(device string) error
		on   []string // devices that can
	}
	calls := []call{
		{"SetLink", func(d string) error { return errors.Join(vm.SetLink(d, false), vm.SetLink(d, true)) }, []string{"net 0"}},
		{"SetDiskLimits", func(d string) error { return vm.SetDiskLimits(d, limits) }, []string{disk, "rng"}},
		{"ChangeDisk", func(d string) error { return vm.ChangeDisk(d, blk.Config{Path: other}) }, []string{disk}},
		{"RefreshDisk", vm.RefreshDisk, []string{disk}},
		{"ResizeConsole", func(d string) error { return vm.ResizeConsole(d, 0, 80, 25) }, []string{"console"}},
	}
	for _, c := range calls {
		can := map[string]bool{}
		for _, d := range c.on {
			can[d] = true
		}
		for _, d := range []string{disk, "net 0", "console", "rng"} {
			err := c.do(d)
			var named *mayfly.DeviceError
			switch {
			case can[d] && err != nil:
				t.Errorf("%s of %s: %v", c.name, d, err)
			case !can[d] && (!errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &named) || named.Device != d):
				t.Errorf("%s of %s: %v, want ErrUnsupported with the device's name", c.name, d, err)
			}
		}
		for _, d := range []string{"", "net", "net 1", "disk"} {
			if err := c.do(d); !errors.Is(err, mayfly.ErrNoDevice) {
				t.Errorf("%s of %q: %v, want ErrNoDevice", c.name, d, err)
			}
		}
	}
	if n := vm.Stats().Devices[1].Stats.(vnet.Stats).LinkChanges; n == 0 {
		t.Error("the link has not changed")
	}
	for what, err := range map[string]error{
		"limits that cannot be":    vm.SetDiskLimits(disk, wrong),
		"a medium that is missing": vm.ChangeDisk(disk, missing),
		"a medium that is no disk": vm.ChangeDisk(disk, rng.Config{}),
		"a port that is missing":   vm.ResizeConsole("console", 1, 80, 25),
	} {
		if !errors.As(err, new(*mayfly.DeviceError)) || errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	vm.Close()
	for _, c := range calls {
		if err := c.do(c.on[0]); !errors.Is(err, mayfly.ErrClosed) {
			t.Errorf("%s after Close: %v", c.name, err)
		}
	}
}

// The medium that a disk is changed to is the one that the guest reads.
func TestChangedDiskIsRead(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	image, other := file(t, "image", make([]byte, 1<<20)), file(t, "other", make([]byte, 1<<20))
	guest := machinetest.NewBusy(machinetest.BusyQueue{Chains: [][]machinetest.Buffer{{
		{Data: append([]byte{1}, make([]byte, 15)...)}, {Data: []byte("written by the guest" + string(make([]byte, 492)))}, {Data: make([]byte, 1), Device: true}}}})
	vm := start(t, mayfly.Config{Kernel: file(t, "busy.elf", guest.Kernel), Devices: []mayfly.DeviceConfig{blk.Config{Path: image}}})
	writes := func(path string) {
		t.Helper()
		machinetest.Until(t, "write to "+path, func() bool {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return string(b[:20]) == "written by the guest"
		})
	}
	writes(image)
	if err := vm.ChangeDisk("disk "+image, blk.Config{Path: other}); err != nil {
		t.Fatal(err)
	}
	writes(other)
	// A disk that is held to nearly nothing writes no more.
	if err := vm.SetDiskLimits("disk "+image, ratelimit.Config{Ops: &ratelimit.Bucket{Size: 1, Refill: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	machinetest.Until(t, "wait for the limits", func() bool { return vm.Stats().Devices[0].Stats.(blk.Stats).Throttled > 0 })
	before := vm.Stats().Devices[0].Stats.(blk.Stats)
	if err := vm.SetDiskLimits("disk "+image, ratelimit.Config{}); err != nil {
		t.Fatal(err)
	}
	machinetest.Until(t, "writes without limits", func() bool {
		return vm.Stats().Devices[0].Stats.(blk.Stats).Writes > before.Writes+100
	})
}

// slowLink is a card whose link changes when the test lets it.
type slowLink struct {
	virtiotest.Echo
	begun, let chan struct{}
	closed     bool
}

func (s *slowLink) SetLink(bool) { close(s.begun); <-s.let }
func (s *slowLink) Close() error { s.closed = true; return nil }

// Close does not take a device away from a call that uses it.
func TestDeviceThatIsUsedWhileTheMachineIsClosed(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	d := &slowLink{begun: make(chan struct{}), let: make(chan struct{})}
	cfg := guest(t, check.Options{})
	cfg.Devices = []mayfly.DeviceConfig{virtio.Opened{Name: "link", Device: d}}
	vm, err := mayfly.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- vm.SetLink("link", false) }()
	<-d.begun
	closed := make(chan struct{})
	go func() { vm.Close(); close(closed) }()
	machinetest.Until(t, "state closed", func() bool { return vm.State() == mayfly.StateClosed })
	if d.closed {
		t.Error("closed while it is used")
	}
	close(d.let)
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-closed
	if <-vm.Released(); !d.closed {
		t.Error("not closed")
	}
}

// noDevice is a configuration whose Open returns nothing.
type noDevice struct{}

func (noDevice) DeviceName() string                      { return "own" }
func (noDevice) DeviceType() virtio.Type                 { return virtio.TypeEntropy }
func (noDevice) Open(func(error)) (virtio.Device, error) { return nil, nil }

func TestOpenThatReturnsNoDevice(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	cfg := guest(t, check.Options{NoChecks: true})
	cfg.Devices = []mayfly.DeviceConfig{noDevice{}}
	vm, err := mayfly.New(cfg)
	var named *mayfly.DeviceError
	if !errors.As(err, &named) || named.Device != "own" {
		t.Errorf("New: %v", err)
	}
	if err == nil {
		vm.Close()
	}
}
