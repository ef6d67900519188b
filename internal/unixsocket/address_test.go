package unixsocket

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		path       string
		suffix     int
		file, peer string // parts of the errors; "": none
	}{
		{"s.sock", 0, "", ""},
		{"./@name", 0, "", ""},
		{"@name", 0, "abstract", ""},
		{"@", 0, "abstract", "needs a name"},
		{"", 0, "empty", "empty"},
		{"a\x00b", 0, "NUL", "NUL"},
		{strings.Repeat("x", 107), 0, "", ""},
		{strings.Repeat("x", 108), 0, "108 bytes; the path of a socket has at most 107", "108 bytes"},
		{strings.Repeat("x", 96), 11, "", ""},
		{strings.Repeat("x", 97), 11, "97 bytes; the path of a socket has at most 96", ""},
	} {
		for want, err := range map[*string]error{&c.file: CheckPath(c.path, c.suffix), &c.peer: CheckPeer(c.path)} {
			if *want == "" && err != nil || *want != "" && (err == nil || !strings.Contains(err.Error(), *want)) {
				t.Errorf("%.20q: %v, want %q", c.path, err, *want)
			}
		}
	}
}

func TestListenRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	for path, want := range map[string]string{"@name": "abstract", strings.Repeat("x", 108): "108 bytes"} {
		if l, err := Listen(path, 0o600); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Listen(%.10q) = %v, %v; want %q", path, l, err, want)
		}
	}
	if l, err := Listen("./@name", 0o600); err != nil {
		t.Error(err)
	} else {
		defer l.Close()
		if _, err := os.Stat("@name"); err != nil {
			t.Error("no socket file:", err)
		}
	}
}

// TestListenOnce has many take over one path that a dead process left: one gets
// it, and keeps it.
func TestListenOnce(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "s")
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		var wg sync.WaitGroup
		got := make([]*Listener, 8)
		errs := make([]error, len(got))
		for i := range got {
			wg.Go(func() { got[i], errs[i] = Listen(path, 0o600) })
		}
		wg.Wait()
		n := 0
		for i, l := range got {
			if errs[i] == nil {
				n++
				defer l.Close()
			} else if !strings.Contains(errs[i].Error(), "in use") {
				t.Error(errs[i])
			}
		}
		if n != 1 {
			t.Fatalf("%d listeners of one path", n)
		}
	}
}

func TestDialAbstract(t *testing.T) {
	name := fmt.Sprintf("@mayfly-test-%d", os.Getpid())
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(l)
	if err := errors.Join(unix.Bind(l, &unix.SockaddrUnix{Name: name}), unix.Listen(l, 1)); err != nil {
		t.Fatal(err)
	}
	fd, err := Dial(name)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

// TestCloseKeepsSuccessor: a listener that ends does not remove the socket of the one
// that took its place.
func TestCloseKeepsSuccessor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	for range 500 {
		first, err := Listen(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() {
			first.Close()
			close(closed)
		}()
		var next *Listener
		for next == nil { // in use, until the first has ended
			next, _ = Listen(path, 0o600)
		}
		<-closed
		fd, err := Dial(path)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		next.Close()
	}
}
