package unixsocket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	made, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	made.(*net.UnixListener).SetUnlinkOnClose(false)
	f, err := made.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	made.Close()
	l, err := Take(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file is left open: %v", err)
	}
	if _, _, err := unix.Accept4(l.FD, 0); err != unix.EAGAIN {
		t.Errorf("accept: %v, want one that does not block", err)
	}
	fd, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	l.Close()
	if _, err := Dial(path); err != unix.ECONNREFUSED {
		t.Errorf("after Close: %v, want a file without a listener", err)
	}
}

func TestTakeRefuses(t *testing.T) {
	socket := func(kind int) *os.File {
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd), "socket")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		f    *os.File
		want string
	}{
		{null, "no socket"},
		{socket(unix.SOCK_STREAM), "that listens"},
		{socket(unix.SOCK_DGRAM), "that listens"},
	} {
		l, err := Take(tt.f)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
		if _, err := tt.f.Stat(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("the file is left open: %v", err)
		}
	}
}
