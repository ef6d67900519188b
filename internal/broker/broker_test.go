package broker

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

// pair returns a client and the other end of its socket.
func pair(t *testing.T, peers int) (*Client, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(fds[0], peers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.fd >= 0 {
			c.giveUp(os.ErrClosed)
		}
	})
	return c, fds[1]
}

// served returns a client of a server in this process.
func served(t *testing.T, peers ...virtio.Peer) *Client {
	t.Helper()
	c, far := pair(t, len(peers))
	var places []place
	for _, p := range peers {
		places = append(places, find(p))
	}
	go func() {
		if err := serve(far, places); err != nil {
			t.Error(err)
		}
		unix.Close(far)
	}()
	return c
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestDial(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	v := listen(t, filepath.Join(dir, "v_7"))
	s := listen(t, filepath.Join(dir, "s"))
	c := served(t, virtio.Peer{Path: filepath.Join(dir, "v"), Ports: true}, virtio.Peer{Path: filepath.Join(dir, "s")}, virtio.Peer{Path: dir + "/none/x"})
	for _, l := range []struct {
		net.Listener
		peer int
		port uint32
	}{{v, 0, 7}, {s, 1, 0}, {s, 1, 9}} {
		fd, err := c.Dial(l.peer, l.port)
		if err != nil {
			t.Fatal(err)
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v", flags, err)
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("it is inherited: %v", err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte("text")); err != nil {
			t.Error(err)
		}
		b := make([]byte, 8)
		if n, err := conn.Read(b); err != nil || string(b[:n]) != "text" {
			t.Errorf("%q, %v", b[:n], err)
		}
		conn.Close()
		unix.Close(fd)
	}
	if _, err := c.Dial(0, 8); err != unix.ENOENT {
		t.Errorf("a port without a socket: %v", err)
	}
	if _, err := c.Dial(2, 0); err != unix.ENOENT {
		t.Errorf("a directory that is not there: %v", err)
	}
	if _, err := c.Dial(3, 0); err != unix.EINVAL {
		t.Errorf("a peer that is not there: %v", err)
	}
	before := openDescriptors(t)
	for range 1000 {
		fd, err := c.Dial(0, 7)
		if err == nil {
			unix.Close(fd)
		} else if err != unix.EAGAIN { // the backlog is full
			t.Fatal(err)
		}
	}
	if after := openDescriptors(t); after > before+1 { // the server closes its last one after the answer
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// An answer that makes no sense ends the broker's use, and leaves no descriptor.
func TestHostileAnswers(t *testing.T) {
	for name, reply := range map[string]func(socket int, number uint32) error{
		"short":           func(s int, n uint32) error { return unix.Sendmsg(s, answer(n, 0)[:4], nil, nil, 0) },
		"long":            func(s int, n uint32) error { return unix.Sendmsg(s, append(answer(n, 1), 0), nil, nil, 0) },
		"another request": func(s int, n uint32) error { return unix.Sendmsg(s, answer(n+1, 0), unix.UnixRights(0), nil, 0) },
		"no descriptor":   func(s int, n uint32) error { return unix.Sendmsg(s, answer(n, 0), nil, nil, 0) },
		"two descriptors": func(s int, n uint32) error { return unix.Sendmsg(s, answer(n, 0), unix.UnixRights(0, 0), nil, 0) },
		"many": func(s int, n uint32) error {
			return unix.Sendmsg(s, answer(n, 0), unix.UnixRights(make([]int, 99)...), nil, 0)
		},
		"an error and a descriptor": func(s int, n uint32) error {
			return unix.Sendmsg(s, answer(n, unix.ENOENT), unix.UnixRights(0), nil, 0)
		},
		"its end": func(s int, n uint32) error { return unix.Shutdown(s, unix.SHUT_RDWR) },
		"silence": func(int, uint32) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			c, far := pair(t, 1)
			before := openDescriptors(t)
			go func() {
				b := make([]byte, requestSize)
				if _, err := unix.Read(far, b); err != nil {
					t.Error(err)
				}
				if err := reply(far, binary.NativeEndian.Uint32(b)); err != nil {
					t.Error(err)
				}
			}()
			if fd, err := c.Dial(0, 1); !errors.Is(err, ErrGone) {
				t.Errorf("%d, %v", fd, err)
			}
			if fd, err := c.Dial(0, 1); !errors.Is(err, ErrGone) {
				t.Errorf("later: %d, %v", fd, err)
			}
			if after := openDescriptors(t); after >= before { // the client's is closed
				t.Errorf("%d descriptors, %d before", after, before)
			}
			unix.Close(far)
		})
	}
}

func TestHostileRequests(t *testing.T) {
	for name, b := range map[string][]byte{"short": {1, 2, 3}, "long": make([]byte, requestSize+1), "peer": request{1, 1, 0}.bytes()} {
		_, far := pair(t, 1)
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Sendmsg(fds[0], b, unix.UnixRights(far), nil, 0); err != nil { // with a descriptor that nobody wants
			t.Fatal(err)
		}
		before := openDescriptors(t)
		if err := serve(fds[1], []place{{name: "none"}}); err == nil {
			t.Errorf("%s: it was served", name)
		}
		if after := openDescriptors(t); after > before {
			t.Errorf("%s: a descriptor is left", name)
		}
		unix.Close(fds[0])
		unix.Close(fds[1])
		unix.Close(far)
	}
}

func TestPeersAsArguments(t *testing.T) {
	want := []virtio.Peer{{Path: "/a:b c"}, {Path: "@x"}, {Path: "ports:", Ports: true}}
	var args []string
	for _, p := range want {
		args = append(args, peerArg(p))
	}
	got, err := parsePeers(args)
	if err != nil || len(got) != len(want) {
		t.Fatal(got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
	for _, args := range [][]string{nil, {"x"}, {"socket:"}, make([]string, MaxPeers+1)} {
		if _, err := parsePeers(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(answer(1, 0), []byte{}, 0)
	f.Add(answer(1, unix.ENOENT), unix.UnixRights(), unix.MSG_CTRUNC)
	f.Fuzz(func(t *testing.T, b, control []byte, flags int) {
		if len(descriptors(control)) > 0 {
			return // it would close this process's
		}
		if fd, err := parseAnswer(b, control, flags, 1); err == nil || fd >= 0 {
			t.Errorf("%d, %v", fd, err)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add(request{1, 2, 3}.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, ok := parseRequest(b); ok && string(r.bytes()) != string(b) {
			t.Errorf("%x is %+v", b, r)
		}
	})
}
