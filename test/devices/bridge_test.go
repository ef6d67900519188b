package devices

import (
	"fmt"
	"net"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/sys/tap"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// newBridge makes a bridge of the host's.
func newBridge(t testing.TB, name string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCBRADDBR, uintptr(unsafe.Pointer(p))); errno != 0 {
		t.Fatalf("bridge %s: %v", name, errno)
	}
	t.Cleanup(func() {
		if _, err := net.InterfaceByName(name); err == nil {
			deleteLink(t, name)
		}
	})
}

// TestNetBetweenGuests puts two guests on a bridge, one with a tap that the
// machine makes, one with the descriptors of a tap of ours, and lets each send to
// the other.
func TestNetBetweenGuests(t *testing.T) {
	newBridge(t, "mftb")
	ifconfig(t, "mftb", "10.9.6.1/24")
	ours, err := tap.Open(tap.Config{Name: "mfto", Bridge: "mftb"})
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	fd, err := unix.FcntlInt(uintptr(ours.Queues()[0].FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var guests []*guest
	for i, c := range []vnet.Config{{Name: "a", Bridge: "mftb", MAC: "52:54:00:00:06:02"}, {Name: "b", FDs: []int{fd}, VHost: vnet.VHostOff, MAC: "52:54:00:00:06:03"}} {
		card := c
		g := boot(t, variant{smallKernel, mayfly.BusMMIO, i == 1, 1}, mayfly.Config{Devices: []mayfly.DeviceConfig{card}})
		g.asks("net", "if=eth0", fmt.Sprintf("addr=10.9.6.%d/24", 2+i))
		g.asks("ping", "addr=10.9.6.1")
		guests = append(guests, g)
	}
	const n = 4 * mib
	length := fmt.Sprintf("len=%d", n)
	for i, g := range guests {
		other := guests[1-i]
		in := other.begin("serve", "net=tcp", "port=7", "mode=sink", "seed=5", length)
		other.says("serving 7\n")
		g.asks("dial", "net=tcp", fmt.Sprintf("addr=10.9.6.%d:7", 3-i), "mode=source", "seed=5", length)
		if got := in.values(); got["sha256"] != sum(5, 0, n) {
			t.Errorf("%s bytes came with SHA-256 %s", got["bytes"], got["sha256"])
		}
		other.out.Forget()
	}
	for _, g := range guests {
		g.silent()
		g.powersOff()
	}
}

// TestConsoleWays leads ports to a socket, a terminal and a file.
func TestConsoleWays(t *testing.T) {
	path := socketPath(t)
	pty, file := path+".pty", path+".log"
	g := boot(t, small, mayfly.Config{Devices: []mayfly.DeviceConfig{console.Config{Ports: []console.Port{
		{Console: true, PTY: pty}, {Name: "talk", Socket: path}, {Name: "log", File: file},
	}}}})
	at := func(name string) string { return g.asks("port", "name="+name)["path"] }

	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	overConn(t, g, at("talk"), conn, 256*kib)

	g.asks("hold", "path=/dev/hvc0")
	terminal, err := os.OpenFile(pty, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	overConn(t, g, "/dev/hvc0", terminal, 16*kib)

	g.asks("dial", "net=file", "addr="+at("log"), "mode=source", "seed=9", "len=262144")
	g.silent()
	g.powersOff()
	g.vm.Close()
	if b, err := os.ReadFile(file); err != nil || len(b) != 256*kib {
		t.Errorf("the log has %d bytes, %v", len(b), err)
	}
	fileHas(t, file, 9, 0, 256*kib)
}
