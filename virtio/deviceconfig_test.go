package virtio_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// echoConfig is a device of a program's own.
type echoConfig struct{ number int }

func (c echoConfig) DeviceName() string                      { return fmt.Sprint("echo ", c.number) }
func (c echoConfig) DeviceType() virtio.Type                 { return 42 }
func (c echoConfig) Open(func(error)) (virtio.Device, error) { return &virtiotest.Echo{}, nil }
func (c echoConfig) Numbered(n int) virtio.DeviceConfig      { return echoConfig{n} }
func (c echoConfig) ForPacked() virtio.DeviceConfig          { return noPacked{c} }

// noPacked is an echoConfig that can't be made.
type noPacked struct{ echoConfig }

func (noPacked) Check() error                              { return errors.New("no packed virtqueues") }
func (c noPacked) Open(func(error)) (virtio.Device, error) { return nil, c.Check() }

func names(list []virtio.DeviceConfig) (names []string) {
	for _, c := range list {
		names = append(names, c.DeviceName())
	}
	return names
}

func TestNumbered(t *testing.T) {
	list := []virtio.DeviceConfig{
		vnet.Config{}, echoConfig{}, vnet.Config{Name: "lan"}, virtio.Packed{DeviceConfig: vnet.Config{}}, rng.Config{}, virtio.Packed{DeviceConfig: echoConfig{}},
	}
	want := []string{"net 0", "echo 0", "net lan", "net 2", "rng", "echo 1"}
	if got := names(virtio.Numbered(list)); !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	if got := names(list)[0]; got != "net" {
		t.Errorf("the argument was changed: %q", got)
	}
}

func TestCheckConfigs(t *testing.T) {
	web := vnet.Config{Name: "a", Forward: []string{"8080:80"}}
	other := vnet.Config{Name: "b", Forward: []string{"8080:8000"}}
	for _, tt := range []struct {
		list []virtio.DeviceConfig
		want string
	}{
		{nil, ""},
		{[]virtio.DeviceConfig{rng.Config{}, web, virtio.Packed{DeviceConfig: blk.Config{Path: "x"}}, vnet.Config{}}, ""},
		{[]virtio.DeviceConfig{rng.Config{}, nil}, "device 1 of 2 is nil"},
		{[]virtio.DeviceConfig{virtio.Packed{}}, "device 0 of 1 is nil"},
		{[]virtio.DeviceConfig{virtio.Packed{DeviceConfig: blk.Config{Path: "x", Queues: -1}}}, "disk x: queues: -1"},
		{[]virtio.DeviceConfig{virtio.Packed{DeviceConfig: echoConfig{3}}}, "echo 3: no packed virtqueues"},
		{[]virtio.DeviceConfig{virtio.Packed{DeviceConfig: vsock.Config{VHost: true}}}, "vsock: vhost: "},
		{[]virtio.DeviceConfig{virtio.Packed{DeviceConfig: vnet.Config{Name: "a", Tap: "t", VHost: vnet.VHostOn}}}, "net a: vhost: "},
		{[]virtio.DeviceConfig{web, virtio.Packed{DeviceConfig: other}}, "net b: forward: "},
		{[]virtio.DeviceConfig{virtio.Packed{DeviceConfig: web}, rng.Config{}, &other}, "net b: forward: "},
	} {
		err := virtio.CheckConfigs(tt.list)
		if err == nil && tt.want != "" || err != nil && (tt.want == "" || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%v: %v, want %q", tt.list, err, tt.want)
		}
	}
}

func TestAs(t *testing.T) {
	packed := virtio.Packed{DeviceConfig: &vnet.Config{Name: "x"}}
	if c, ok := virtio.As[vnet.Config](packed); !ok || c.Name != "x" {
		t.Errorf("a card: %+v, %v", c, ok)
	}
	if _, ok := virtio.As[virtio.Conflicter](packed); !ok {
		t.Error("no Conflicter found")
	}
	if _, ok := virtio.As[virtio.Packed](packed); !ok {
		t.Error("no Packed found")
	}
	if _, ok := virtio.As[blk.Config](packed); ok {
		t.Error("a disk found in a card")
	}
	if _, ok := virtio.As[blk.Config](virtio.Packed{}); ok {
		t.Error("a disk found in nothing")
	}
}

func TestOpenPacked(t *testing.T) {
	if d, err := (virtio.Packed{DeviceConfig: echoConfig{}}).Open(nil); d != nil || err == nil {
		t.Errorf("%v, %v, want the error of ForPacked", d, err)
	}
	d, err := virtio.Packed{DeviceConfig: rng.Config{}}.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	for _, c := range []virtio.DeviceConfig{vsock.Config{VHost: true}, vnet.Config{Tap: "t", VHost: vnet.VHostOn}} {
		_, err := virtio.Packed{DeviceConfig: c}.Open(nil)
		if err == nil || !regexp.MustCompile("packed.*leave").MatchString(err.Error()) {
			t.Errorf("%s with vhost: %v", c.DeviceName(), err)
		}
	}
}

// TestDeviceConfigs opens a device of each package by what all of them have in common.
func TestDeviceConfigs(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "root.img")
	if err := os.WriteFile(image, make([]byte, 1500), 0o600); err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	for _, tt := range []struct {
		c       virtio.DeviceConfig
		name    string
		reports int // at once: the image's size is odd
	}{
		{blk.Config{Path: image}, "disk " + image, 1},
		{vnet.Config{Name: "lan", FDs: []int{pair[0]}}, "net lan", 0},
		{vsock.Config{Path: filepath.Join(dir, "v")}, "vsock", 0},
		{console.Config{Ports: []console.Port{{Console: true}}}, "console", 0},
		{rng.Config{}, "rng", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var reports []error
			d, err := tt.c.Open(func(err error) { reports = append(reports, err) })
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if got := tt.c.DeviceName(); got != tt.name {
				t.Errorf("name %q", got)
			}
			if d.Type() != tt.c.DeviceType() {
				t.Errorf("type %d of a device and %d of its configuration", d.Type(), tt.c.DeviceType())
			}
			if len(reports) != tt.reports {
				t.Errorf("reports: %v", reports)
			}
			checkStats(t, d)
		})
	}
}

// checkStats expects of each counter a name in snake_case of its own.
func checkStats(t *testing.T, d virtio.Device) {
	t.Helper()
	stats := d.(virtio.StatsDevice).DeviceStats()
	b, err := json.Marshal(stats)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]uint64
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if len(m) != reflect.TypeOf(stats).NumField() {
		t.Errorf("%T has %d fields: %s", stats, reflect.TypeOf(stats).NumField(), b)
	}
	for k := range m {
		if !regexp.MustCompile("^[a-z]+(_[a-z]+)*$").MatchString(k) {
			t.Errorf("%T: key %q", stats, k)
		}
	}
}

func TestDeviceError(t *testing.T) {
	err := virtio.Named("disk a", os.ErrNotExist)
	var d *virtio.DeviceError
	if !errors.As(err, &d) || d.Device != "disk a" || !errors.Is(err, os.ErrNotExist) || err.Error() != "disk a: file does not exist" {
		t.Errorf("error %#v", err)
	}
	if again := virtio.Named("another", fmt.Errorf("context: %w", err)); again.Error() != "context: disk a: file does not exist" {
		t.Errorf("named twice: %v", again)
	}
	if virtio.Named("a", nil) != nil {
		t.Error("nil was named")
	}
}

// TestErrorsNameTheirDevice once, whatever package they come from.
func TestErrorsNameTheirDevice(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none", "x")
	var reports []error
	for _, c := range []virtio.DeviceConfig{
		blk.Config{Path: missing},
		blk.Config{Path: missing, Queues: -1},
		vnet.Config{Name: "lan", Queues: -1},
		vnet.Config{Name: "lan", Socket: "@", Kind: vnet.Stream},
		vnet.Config{FDs: []int{1 << 20}},
		vsock.Config{},
		vsock.Config{Path: missing},
		console.Config{},
		console.Config{Ports: []console.Port{{Console: true, File: missing}}},
		rng.Config{Limits: ratelimit.Config{Ops: &ratelimit.Bucket{}}},
	} {
		d, err := c.Open(func(err error) { reports = append(reports, err) })
		if err == nil {
			d.Close()
			t.Errorf("%+v was opened", c)
			continue
		}
		var of *virtio.DeviceError
		if !errors.As(err, &of) || of.Device != c.DeviceName() || !strings.HasPrefix(err.Error(), of.Device+": ") || strings.HasPrefix(of.Err.Error(), missing) {
			t.Errorf("%s: %v", c.DeviceName(), err)
		}
	}
	if len(reports) > 0 {
		t.Errorf("reports of devices that were not made: %v", reports)
	}
}
