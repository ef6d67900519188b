package vsock_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

func TestRefusesConfigs(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    vsock.Config
		want string
	}{
		{"an address of the hypervisor", vsock.Config{CID: 1, Path: "x"}, "cid: 1"},
		{"the host's cid", vsock.Config{CID: 2, Path: "x"}, "cid: 2"},
		{"any cid", vsock.Config{CID: 1<<32 - 1, Path: "x"}, "cid: 4294967295"},
		{"no path", vsock.Config{CID: 3}, "path: the device needs"},
		{"long path", vsock.Config{CID: 3, Path: strings.Repeat("x", 97)}, "at most 96"},
		{"both", vsock.Config{CID: 3, Path: "x", VHost: true}, "leave one"},
		{"connections", vsock.Config{CID: 3, Path: "x", MaxConnections: -1}, "max-connections: -1"},
		{"mode", vsock.Config{CID: 3, Path: "x", Mode: 0o4600}, "mode: 04600"},
		{"no directory", vsock.Config{CID: 3, Path: "/nonexistent/x"}, "directory does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := vsock.New(tt.c)
			if err == nil || !strings.HasPrefix(err.Error(), "vsock: ") || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSocketFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v")
	d, err := vsock.New(vsock.Config{CID: 3, Path: path, Mode: 0o660})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != os.ModeSocket|0o660 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	if _, err := vsock.New(vsock.Config{CID: 4, Path: path}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second device: %v", err)
	}
	d.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket stays: %v", err)
	}
	d.Close()
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	open(t, vsock.Config{Path: path})
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestOtherFileStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vsock.New(vsock.Config{CID: 3, Path: path}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("error %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("the file is gone")
	}
}

func TestKernelDevice(t *testing.T) {
	d, err := vsock.New(vsock.Config{CID: 4242, VHost: true})
	if err != nil {
		if unix.Access("/dev/vhost-vsock", unix.R_OK|unix.W_OK) == nil {
			t.Fatal(err)
		}
		if !strings.Contains(err.Error(), "/dev/vhost-vsock") {
			t.Errorf("error %v", err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { d.Close() })
	v := virtiotest.New(t, d, virtiotest.Options{})
	rx, tx := v.Queue(0), v.Queue(1)
	rx.Add(nil, []int{headLen, page})
	rx.Kick()
	// Nobody of the host listens on that port.
	tx.Do([][]byte{packet{src: 4242, dst: 2, kind: 1, srcPort: 5, dstPort: 4000000000, op: opRequest}.bytes()}, nil)
	if p := parse(rx.Wait().In()); p.op != opReset || p.dst != 4242 {
		t.Fatalf("answer %+v", p)
	}
}
