package devices

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// TestSmallDevices lets one guest of each variant use a socket device, an entropy
// device, and a console of a terminal and a named port.
func TestSmallDevices(t *testing.T) {
	for _, v := range variants {
		t.Run(v.String(), func(t *testing.T) {
			path := socketPath(t)
			terminal, named := newPipes(t), newPipes(t)
			ports := console.Config{Ports: []console.Port{
				{Console: true, In: terminal.in, Out: terminal.out}, {Name: "org.mayfly.test", In: named.in, Out: named.out},
			}}
			g := boot(t, v, mayfly.Config{Devices: []mayfly.DeviceConfig{
				vsock.Config{CID: 42, Path: path}, rng.Config{}, ports,
			}})
			expectDevices(t, g, v, "vmw_vsock_virtio_transport", 1)
			expectDevices(t, g, v, "virtio_rng", 1)
			expectDevices(t, g, v, "virtio_console", 1)

			expectEntropy(t, g)
			at := g.asks("port", "name=org.mayfly.test")["path"]
			named.exchange(t, g, at, mib)
			g.asks("hold", "path=/dev/hvc0")
			terminal.exchange(t, g, "/dev/hvc0", 32*kib)
			for _, size := range [][2]uint16{{132, 43}, {80, 25}} {
				if err := g.vm.ResizeConsole("console", 0, size[0], size[1]); err != nil {
					t.Fatal(err)
				}
				g.asks("winsize", "path=/dev/hvc0", fmt.Sprintf("cols=%d", size[0]), fmt.Sprintf("rows=%d", size[1]))
			}
			exchange(t, g, path, 2, 2*mib)
			g.silent()
			g.powersOff()
		})
	}
}

// expectEntropy reads the hardware generator twice.
func expectEntropy(t testing.TB, g *guest) {
	t.Helper()
	one, two := g.asks("random", "len=65536"), g.asks("random", "len=65536")
	if one["rng_current"] != "virtio_rng.0" {
		t.Errorf("the generator is %q of %q", one["rng_current"], one["rng_available"])
	}
	if one["distinct"] != "256" || one["sha256"] == two["sha256"] {
		t.Errorf("not random: %v, %v", one, two)
	}
}

// pipes are what a port leads to on the host: it reads in, and writes out.
type pipes struct {
	in, out       *os.File
	keys, arrived *os.File // our ends
}

func newPipes(t testing.TB) (p pipes) {
	t.Helper()
	var err error
	if p.in, p.keys, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	if p.arrived, p.out, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, f := range []*os.File{p.in, p.out, p.keys, p.arrived} {
			f.Close()
		}
	})
	return p
}

// exchange moves n bytes each way, at the same time.
func (p pipes) exchange(t testing.TB, g *guest, path string, n int) {
	t.Helper()
	overConn(t, g, path, struct {
		io.Reader
		io.Writer
	}{p.arrived, p.keys}, n)
}

// overConn moves n bytes each way between a port of the guest and its other end, at
// the same time.
func overConn(t testing.TB, g *guest, path string, end io.ReadWriter, n int) {
	t.Helper()
	q := g.begin("dial", "net=file", "addr="+path, "mode=both", "seed=30", fmt.Sprintf("len=%d", n))
	go io.Copy(end, bytes.NewReader(ask.Pattern(31, 0, n)))
	got := make([]byte, n)
	read := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(end, got)
		read <- err
	}()
	select {
	case err := <-read:
		if err != nil {
			t.Errorf("%s: %v. %s", path, err, g.reported)
		}
	case <-time.After(patience):
		t.Fatalf("%s: less than %d bytes came. %s", path, n, g.reported)
	}
	if at := ask.Mismatch(got, 30, 0); at >= 0 {
		t.Errorf("%s: byte %d is not what the guest sent", path, at)
	}
	if v := q.values(); v["sha256"] != sum(31, 0, n) {
		t.Errorf("%s: the guest received %s bytes with SHA-256 %s", path, v["bytes"], v["sha256"])
	}
}
