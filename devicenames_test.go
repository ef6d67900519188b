package mayfly_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/internal/reports"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// doubled is a part between colons that stands twice in a row in a message; "": none does.
func doubled(msg string) string {
	parts := strings.Split(msg, ": ")
	for i := 1; i < len(parts); i++ {
		// Of a wrapped sentence only the end is the prefix: "and disk d: disk d: …".
		if parts[i] != "" && (parts[i-1] == parts[i] || strings.HasSuffix(parts[i-1], " "+parts[i])) {
			return parts[i]
		}
	}
	return ""
}

// TestErrorsNameADeviceOnce opens each kind of device so that it fails.
func TestErrorsNameADeviceOnce(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "none", "x")
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no image"), 0o600); err != nil {
		t.Fatal(err)
	}
	kernel := file(t, "check.elf", check.ELF)
	long := strings.Repeat("x", 200)
	for _, c := range []mayfly.DeviceConfig{
		blk.Config{Path: none},
		blk.Config{Path: dir},
		blk.Config{Path: text, Format: disk.QCOW2},
		blk.Config{Path: text, Queues: -1},
		vnet.Config{Kind: vnet.Stream, Socket: none},
		vnet.Config{Kind: vnet.Stream, Socket: long},
		vnet.Config{Kind: vnet.Passt},
		vnet.Config{Tap: "a/b"},
		vnet.Config{Name: "n", FDs: []int{1 << 19}},
		vsock.Config{Path: none},
		vsock.Config{Path: text},
		vsock.Config{Path: long},
		console.Config{Ports: []console.Port{{Console: true, File: none}}},
		console.Config{Ports: []console.Port{{Console: true, Socket: text}}},
		console.Config{Ports: []console.Port{{Console: true, PTY: text}}},
		console.Config{Ports: []console.Port{{}}},
		rng.Config{Limits: ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 1, Refill: -1}}},
	} {
		name := c.DeviceName()
		d, err := c.Open(nil)
		if err == nil {
			d.Close()
			t.Errorf("%s: opened %+v", name, c)
			continue
		}
		errs := []error{err, virtio.Named(name, err)} // as Open returns it, and as a machine reports it
		if machinetest.HaveKVM() {
			vm, err := mayfly.New(mayfly.Config{Kernel: kernel, Devices: []mayfly.DeviceConfig{c}})
			if err == nil {
				vm.Close()
				t.Errorf("%s: a machine was made", name)
				continue
			}
			errs = append(errs, err)
		}
		for _, e := range errs {
			said := strings.TrimPrefix(e.Error(), "Devices: ") // the field of a ConfigError
			if part := doubled(said); part != "" || !strings.HasPrefix(said, "net 0: ") && !strings.HasPrefix(said, name+": ") {
				t.Errorf("%s: %q twice in: %v", name, part, e)
			}
		}
	}
}

// TestReportsNameADeviceOnce has devices report what goes wrong at work.
func TestReportsNameADeviceOnce(t *testing.T) {
	dir := t.TempDir()
	image, socket := filepath.Join(dir, "d"), filepath.Join(dir, "s")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type report struct {
		name string
		err  error
	}
	got := make(chan report, 64)
	limiter := reports.New(func(name string, err error) { got <- report{name, err} })
	for _, c := range virtio.Numbered([]mayfly.DeviceConfig{
		blk.Config{Path: image}, vnet.Config{Kind: vnet.Stream, Socket: socket},
		console.Config{Ports: []console.Port{{Console: true, File: "/dev/full"}}}, rng.Config{}, vsock.Config{Path: filepath.Join(dir, "v")},
	}) {
		name := c.DeviceName()
		dev, err := c.Open(limiter.For(name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dev.Close() })
		switch c.DeviceType() {
		case virtio.TypeBlock: // its file is cut short
			d := virtiotest.New(t, dev, virtiotest.Options{})
			if err := os.Truncate(image, 0); err != nil {
				t.Fatal(err)
			}
			d.Queue(0).Do([][]byte{make([]byte, 16)}, []int{512, 1})
		case virtio.TypeNet: // its peer goes away
			q := virtiotest.New(t, dev, virtiotest.Options{}).Queue(0)
			q.Add(nil, []int{2048})
			q.Kick()
			peer, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			peer.Close()
		case virtio.TypeConsole:
			virtiotest.New(t, dev, virtiotest.Options{}).Queue(1).Do([][]byte{[]byte("x")}, nil)
		default: // what a transport reports
			limiter.Report(name, os.ErrInvalid)
		}
		select {
		case r := <-got:
			if part := doubled(r.err.Error()); part != "" || r.name != name || !strings.HasPrefix(r.err.Error(), name+": ") {
				t.Errorf("%s: %q twice in: %v", name, part, r.err)
			}
		case <-time.After(virtiotest.Deadline):
			t.Errorf("%s reports nothing", name)
		}
	}
}

func TestDoubled(t *testing.T) {
	for msg, want := range map[string]string{
		"disk d: disk d: read": "disk d", "mayfly: net 0: net 0: gone": "net 0", "disk d: read: EIO": "", "run: disk d: d: x": "d",
	} {
		if got := doubled(msg); got != want {
			t.Errorf("%s: %q", msg, got)
		}
	}
}
