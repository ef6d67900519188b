package mayfly

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
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
	long := strings.Repeat("x", 200)
	for _, c := range []Config{
		{Disks: []Disk{{Path: none}}},
		{Disks: []Disk{{Path: dir}}},
		{Disks: []Disk{{Path: text, Format: "qcow2"}}},
		{Disks: []Disk{{Path: text, Queues: -1}}},
		{Nets: []Net{{Kind: vnet.Stream, Socket: none}}},
		{Nets: []Net{{Kind: vnet.Stream, Socket: long}}},
		{Nets: []Net{{Kind: vnet.Passt}}},
		{Nets: []Net{{Tap: "a/b"}}},
		{Nets: []Net{{Name: "n", FDs: []int{1 << 19}}}},
		{Vsock: &Vsock{Path: none}},
		{Vsock: &Vsock{Path: text}},
		{Vsock: &Vsock{Path: long}},
		{Consoles: []ConsolePort{{Console: true, File: none}}},
		{Consoles: []ConsolePort{{Console: true, Socket: text}}},
		{Consoles: []ConsolePort{{Console: true, PTY: text}}},
		{Consoles: []ConsolePort{{}}},
		{RNG: &RNG{Limits: ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 1, Refill: -1}}}},
	} {
		for _, s := range c.devices() {
			d, err := s.open()
			if err == nil {
				d.Close()
				t.Errorf("%s: opened %+v", s.name, c)
				continue
			}
			for _, e := range []error{err, named(s.name, err)} { // as New returns it, and as the machine reports it
				if part := doubled(e.Error()); part != "" || !strings.HasPrefix(e.Error(), s.name+": ") {
					t.Errorf("%s: %q twice in: %v", s.name, part, e)
				}
			}
		}
	}
}

// TestReportsNameADeviceOnce has devices report what goes wrong at work.
func TestReportsNameADeviceOnce(t *testing.T) {
	dir := t.TempDir()
	disk, socket := filepath.Join(dir, "d"), filepath.Join(dir, "s")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan error, 64)
	c := Config{
		Disks: []Disk{{Path: disk}}, Nets: []Net{{Kind: vnet.Stream, Socket: socket}},
		Consoles: []ConsolePort{{Console: true, File: "/dev/full"}}, RNG: &RNG{}, Vsock: &Vsock{Path: filepath.Join(dir, "v")},
		reports: &reports{to: func(err error) { got <- err }},
	}
	for _, s := range c.devices() {
		dev, err := s.open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dev.Close() })
		switch s.kind {
		case virtio.TypeBlock: // its file is cut short
			d := virtiotest.New(t, dev, virtiotest.Options{})
			if err := os.Truncate(disk, 0); err != nil {
				t.Fatal(err)
			}
			d.Queue(0).Do([][]byte{make([]byte, 16)}, []int{512, 1})
		case virtio.TypeNet: // its far end goes away
			q := virtiotest.New(t, dev, virtiotest.Options{}).Queue(0)
			q.Add(nil, []int{2048})
			q.Kick()
			far, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			far.Close()
		case virtio.TypeConsole:
			virtiotest.New(t, dev, virtiotest.Options{}).Queue(1).Do([][]byte{[]byte("x")}, nil)
		default: // what a transport reports
			c.reporter(s.name)(os.ErrInvalid)
		}
		select {
		case err := <-got:
			if part := doubled(err.Error()); part != "" || !strings.HasPrefix(err.Error(), s.name+": ") {
				t.Errorf("%s: %q twice in: %v", s.name, part, err)
			}
		case <-time.After(virtiotest.Deadline):
			t.Errorf("%s reports nothing", s.name)
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
