package devices

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// socketPath is a path that is short enough for a socket.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "v.sock")
}

// connect asks for a port of the guest, as Firecracker's protocol has it.
func connect(path string, port int) (*net.UnixConn, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c, "CONNECT %d\n", port); err != nil {
		c.Close()
		return nil, err
	}
	// A byte at a time: what follows the line is the peer's.
	line, err := bufio.NewReaderSize(oneByte{c}, 16).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "OK ") {
		err = fmt.Errorf("the answer is %q", line)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:1]) }

// exchange moves n bytes each way over count connections to the guest and as many
// from it, all at the same time.
func exchange(t testing.TB, g *guest, path string, count, n int) {
	t.Helper()
	length := fmt.Sprintf("len=%d", n)
	var w sync.WaitGroup
	want := map[uint64]question{}
	for i := range count {
		seed := uint64(100 + 10*i)
		l, err := net.Listen("unix", fmt.Sprintf("%s_%d", path, 5000+i))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		want[seed+1] = g.begin("dial", "net=vsock", fmt.Sprintf("addr=2:%d", 5000+i), "mode=both", fmt.Sprintf("seed=%d", seed), length)
		w.Go(func() {
			l.(*net.UnixListener).SetDeadline(time.Now().Add(patience))
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			talk(t, c.(halfCloser), seed, n)
		})
		want[seed+6] = g.begin("serve", "net=vsock", fmt.Sprintf("port=%d", 7000+i), "mode=both", fmt.Sprintf("seed=%d", seed+5), length)
		g.says(fmt.Sprintf("serving %d\n", 7000+i))
		w.Go(func() {
			c, err := connect(path, 7000+i)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			talk(t, c, seed+5, n)
		})
	}
	w.Wait()
	for seed, q := range want {
		if got := q.values(); got["sha256"] != sum(seed, 0, n) {
			t.Errorf("the guest received %s bytes with SHA-256 %s, want %d with %s", got["bytes"], got["sha256"], n, sum(seed, 0, n))
		}
	}
	g.out.Forget()
}

// TestVsockPeers has peers that refuse, go away, or never read.
func TestVsockPeers(t *testing.T) {
	path := socketPath(t)
	v := variant{smallKernel, mayfly.BusMMIO, true, 2}
	g := boot(t, v, mayfly.Config{Devices: []mayfly.DeviceConfig{vsock.Config{CID: 42, Path: path}}})
	g.refuses("ECONNRESET", "dial", "net=vsock", "addr=2:9", "mode=sink")
	if c, err := connect(path, 9); err == nil {
		c.Close()
		t.Error("a port where nobody listens accepted")
	}

	// One that never reads holds up itself and nobody else.
	l, err := net.Listen("unix", path+"_6000")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stuck := g.begin("dial", "net=vsock", "addr=2:6000", "mode=source", "len=16777216")
	silent, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, g, path, 2, mib)

	// And when it goes away, the guest is notified.
	silent.Close()
	if a := stuck.answer(); a.Errno != "EPIPE" && a.Errno != "ECONNRESET" {
		t.Errorf("the guest says %q %q of a peer that went away", a.Error, a.Errno)
	}

	// The guest's end goes away: by a restart.
	g.begin("serve", "net=vsock", "port=7", "mode=echo")
	g.says("serving 7\n")
	c, err := connect(path, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	g.out.Forget()
	g.begin("reboot")
	if n, err := io.Copy(io.Discard, c); n != 0 || err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("%d bytes came of a guest that restarts: %v", n, err)
	}
	g.ready()
	exchange(t, g, path, 1, mib)
	g.silent()
	g.powersOff()
	if _, err := os.Stat(path); err == nil {
		g.vm.Close()
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket's file is left")
		}
	}
}

// vsockConn is a connection of AF_VSOCK, which the net package does not know.
type vsockConn struct {
	net.Conn // nil: only what follows is called
	fd       int
}

func (c vsockConn) Read(p []byte) (int, error) {
	n, err := unix.Read(c.fd, p)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return max(n, 0), err
}

func (c vsockConn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = unix.Write(c.fd, p[n:])
		if err == unix.EINTR {
			err = nil
		}
		n += max(m, 0)
	}
	return n, err
}

func (c vsockConn) CloseWrite() error           { return unix.Shutdown(c.fd, unix.SHUT_WR) }
func (c vsockConn) Close() error                { return unix.Close(c.fd) }
func (c vsockConn) SetDeadline(time.Time) error { return nil }

// TestVsockInKernel leaves the sockets to the host's kernel.
func TestVsockInKernel(t *testing.T) {
	for i, v := range []variant{{smallKernel, mayfly.BusMMIO, false, 1}, {debianKernel, mayfly.BusPCI, false, 4}} {
		t.Run(v.String(), func(t *testing.T) {
			cid := uint64(42 + i)
			g := boot(t, v, mayfly.Config{Devices: []mayfly.DeviceConfig{vsock.Config{CID: cid, VHost: true}}})
			expectDevices(t, g, v, "vmw_vsock_virtio_transport", 1)
			l, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(l)
			if err := errors.Join(unix.Bind(l, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: 5000}), unix.Listen(l, 1)); err != nil {
				t.Fatal(err)
			}
			const n = 4 * mib
			out := g.begin("dial", "net=vsock", "addr=2:5000", "mode=both", "seed=10", fmt.Sprintf("len=%d", n))
			fd, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			talk(t, vsockConn{fd: fd}, 10, n)
			unix.Close(fd)
			in := g.begin("serve", "net=vsock", "port=7", "mode=both", "seed=20", fmt.Sprintf("len=%d", n))
			g.says("serving 7\n")
			if fd, err = unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
				t.Fatal(err)
			}
			if err := unix.Connect(fd, &unix.SockaddrVM{CID: uint32(cid), Port: 7}); err != nil {
				t.Fatal(err)
			}
			talk(t, vsockConn{fd: fd}, 20, n)
			unix.Close(fd)
			for seed, q := range map[uint64]question{11: out, 21: in} {
				if got := q.values(); got["sha256"] != sum(seed, 0, n) {
					t.Errorf("the guest received %s bytes with SHA-256 %s", got["bytes"], got["sha256"])
				}
			}
			g.silent()
			g.powersOff()
		})
	}
}
