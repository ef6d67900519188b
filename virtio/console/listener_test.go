package console_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
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

func TestGivenListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dev := open(t, console.Port{Name: "agent", Listener: listener(t, path)})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d.Queue(1).Do([][]byte{[]byte("hello")}, nil)
	var b [5]byte
	c.SetReadDeadline(time.Now().Add(virtiotest.Deadline))
	if _, err := io.ReadFull(c, b[:]); err != nil || string(b[:]) != "hello" {
		t.Fatalf("the client read %q, %v", b, err)
	}
	dev.Close()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the device removed a socket that it has not made: %v", err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		t.Error("the socket is left open")
	}
}

func TestListenerIsClosed(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		first console.Port
		l     *os.File
		want  string
	}{
		{console.Port{Console: true}, file, "port 1: listener: it is no socket"},
		{console.Port{Console: true, File: "/nonexistent/x"}, listener(t, filepath.Join(t.TempDir(), "a")), "port 0: file: "},
		{console.Port{}, listener(t, filepath.Join(t.TempDir(), "b")), "port 0: name: "},
	} {
		d, err := console.New(console.Config{Ports: []console.Port{tt.first, {Name: "a", Listener: tt.l}}})
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
		if _, err := tt.l.Stat(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("the listener is left open: %v", err)
		}
	}
}
