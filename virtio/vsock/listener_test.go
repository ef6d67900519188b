package vsock_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// listener is a socket at path, to be handed over.
func listener(t *testing.T, path string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestGivenListener: the host connects to a socket that the device has not made, and
// the guest's connections go to Path, or nowhere.
func TestGivenListener(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "to")} {
		made := filepath.Join(t.TempDir(), "made")
		dev, err := vsock.New(vsock.Config{CID: cid, Listener: listener(t, made), Path: path})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dev.Close() })
		g := &guest{t: t, dev: dev, path: made, alloc: 1 << 20}
		g.drive(virtiotest.Options{})
		c := g.dial()
		say(t, c, "CONNECT 52\n")
		p := g.expect(opRequest)
		g.send(packet{srcPort: 52, dstPort: p.srcPort, op: opResponse})
		if got := hear(t, c, 14); got != "OK 1073741824\n" {
			t.Fatalf("answer %q", got)
		}
		want := uint16(opReset)
		if path != "" {
			l, err := net.Listen("unix", path+"_77")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			want = opResponse
		}
		g.send(packet{srcPort: 1000, dstPort: 77, op: opRequest})
		g.expect(want)
		dev.Close()
		if _, err := os.Stat(made); err != nil {
			t.Errorf("the device removed a socket that it has not made: %v", err)
		}
	}
}

func TestListenerIsClosed(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		c    vsock.Config
		want string
	}{
		{vsock.Config{CID: 1, Listener: listener(t, filepath.Join(t.TempDir(), "a"))}, "cid: 1"},
		{vsock.Config{VHost: true, Listener: listener(t, filepath.Join(t.TempDir(), "b"))}, "listener: with vhost"},
		{vsock.Config{Listener: file}, "listener: it is no socket"},
	} {
		d, err := vsock.New(tt.c)
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
		if _, err := tt.c.Listener.Stat(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("the listener is left open: %v", err)
		}
	}
}
