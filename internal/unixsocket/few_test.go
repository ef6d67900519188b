package unixsocket

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Without descriptors a socket that was left is not taken for one in use.
func TestListenWithoutDescriptors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	left, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(left, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	unix.Close(left)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		fds = append(fds, fd)
	}
	for free := 0; ; free++ {
		l, err := Listen(path, 0o600)
		if err == nil {
			l.Close()
			if free == 0 {
				t.Error("no descriptor was needed")
			}
			return
		}
		if !errors.Is(err, unix.EMFILE) {
			t.Fatalf("with %d descriptors: %v", free, err)
		}
		if len(fds) == 0 {
			t.Fatal("all descriptors do not do")
		}
		unix.Close(fds[len(fds)-1])
		fds = fds[:len(fds)-1]
	}
}
