package vnet_test

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

func TestCheck(t *testing.T) {
	limit := ratelimit.Config{Ops: &ratelimit.Bucket{Size: 1, Refill: time.Second}}
	for _, tc := range []struct {
		c    vnet.Config
		want string // "" is no error
	}{
		{vnet.Config{}, ""},
		{vnet.Config{Kind: "auto", VHost: "auto"}, ""},
		{vnet.Config{Kind: "auto", Queues: 2}, "kind=user has one"},
		{vnet.Config{Kind: "bridge"}, `kind: "bridge"`},
		{vnet.Config{VHost: "maybe"}, "vhost:"},
		{vnet.Config{Queues: 65, Tap: "a"}, "queues: 65"},
		{vnet.Config{Queues: 2}, "only a tap"},
		{vnet.Config{QueueSize: 100}, "queue-size: 100"},
		{vnet.Config{QueueSize: 2048}, "queue-size: 2048"},
		{vnet.Config{MTU: 67}, "mtu: 67"},
		{vnet.Config{MAC: "02:00:00:00:00"}, "mac:"},
		{vnet.Config{MAC: "03:00:00:00:00:01"}, "group"},
		{vnet.Config{MAC: "00:00:00:00:00:00"}, "zeroes"},
		{vnet.Config{MAC: "02:00:00:00:00:g1"}, "mac:"},
		{vnet.Config{MAC: "02:00:00:AA:bb:cC"}, ""},
		{vnet.Config{Kind: vnet.User, Tap: "a"}, "kind=tap"},
		{vnet.Config{Kind: vnet.Passt}, "socket=PATH"},
		{vnet.Config{Kind: vnet.FD}, "fd=3"},
		{vnet.Config{Forward: []string{"8080:80"}}, ""},
		{vnet.Config{Forward: []string{"udp:127.0.0.1:53:53", "[::1]:80:80", "tcp:1:2"}}, ""},
		{vnet.Config{Forward: []string{"8080"}}, "form"},
		{vnet.Config{Forward: []string{"0:80"}}, "host port"},
		{vnet.Config{Forward: []string{"80:70000"}}, "guest port"},
		{vnet.Config{Forward: []string{"::1:80:80"}}, "brackets"},
		{vnet.Config{Tap: "a", Forward: []string{"1:1"}}, "kind=user"},
		{vnet.Config{Tap: "a", VHost: vnet.VHostOn, RX: limit}, "limits"},
		{vnet.Config{VHost: vnet.VHostOn}, "taps only"},
		{vnet.Config{Isolated: true, HostAccess: true}, "mutually exclusive"},
		{vnet.Config{Isolated: true, Allow: []string{"10.0.0.0/8"}}, "mutually exclusive"},
		{vnet.Config{Tap: "a", Deny: []string{"10.0.0.0/8"}}, "kind=user"},
		{vnet.Config{Allow: []string{"10.0.0.0/8", "1.2.3.4"}, Deny: []string{"0.0.0.0/0"}}, ""},
		{vnet.Config{Allow: []string{"10.0.0.1/8"}}, "is in is 10.0.0.0/8"},
		{vnet.Config{Deny: []string{"10.0.0.0/33"}}, `deny: "10.0.0.0/33" is no IPv4`},
		{vnet.Config{Deny: []string{"10.0.0"}}, "no IPv4 address or network"},
		{vnet.Config{Deny: []string{"fd00::/8"}}, "IPv4 alone"},
		{vnet.Config{Forward: []string{"80:80", "127.0.0.1:80:81"}}, "80:80 and 127.0.0.1:80:81 listen at the same port"},
		{vnet.Config{Forward: []string{"80:80", "0.0.0.0:80:81"}}, "same port"},
		{vnet.Config{Forward: []string{"80:80", "udp:80:80", "127.0.0.2:80:80", "[::1]:80:80"}}, ""},
		{vnet.Config{Forward: []string{"0.0.0.0:80:80", "[::1]:80:80"}}, ""},
		{vnet.Config{Forward: []string{"[::]:80:80", "80:80"}}, "same port"},
		{vnet.Config{RX: ratelimit.Config{Ops: &ratelimit.Bucket{}}}, "rx limit"},
	} {
		err := tc.c.Check()
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%+v: %v", tc.c, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%+v: %v, want %q", tc.c, err, tc.want)
		}
	}
}

func TestGenerateMAC(t *testing.T) {
	seen := map[vnet.MAC]string{}
	for i := range 10000 {
		name := "net" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		m := vnet.GenerateMAC(name)
		if m[0]&3 != 2 {
			t.Fatalf("%s: %v", name, m)
		}
		if seen[m] != "" {
			t.Fatalf("%s and %s have %v", name, seen[m], m)
		}
		seen[m] = name
		if back, err := vnet.ParseMAC(m.String()); err != nil || back != m {
			t.Fatalf("%v: %v %v", m, back, err)
		}
	}
}

func TestNoSocket(t *testing.T) {
	_, err := vnet.New(vnet.Config{Name: "eth0", Socket: t.TempDir() + "/none"})
	if err == nil || !strings.Contains(err.Error(), "start the program") {
		t.Error(err)
	}
}

// TestOtherSocket: what lies at the path is not what a card connects to.
func TestOtherSocket(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	datagrams, err := net.ListenPacket("unixgram", dir+"/dgram")
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	gone, err := net.Listen("unix", dir+"/gone")
	if err != nil {
		t.Fatal(err)
	}
	gone.(*net.UnixListener).SetUnlinkOnClose(false)
	gone.Close()
	for name, want := range map[string]string{"file": "it is no socket", "dgram": "another type than SOCK_STREAM", "gone": "has ended: start it again"} {
		_, err := vnet.New(vnet.Config{Kind: vnet.Passt, Socket: dir + "/" + name})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFDsAreClosed where New fails, whatever is wrong.
func TestFDsAreClosed(t *testing.T) {
	socket := func(kind int) int {
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	null := func() int {
		fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	same := null()
	for _, tt := range []struct {
		c    vnet.Config
		want string
	}{
		{vnet.Config{FDs: []int{null(), null()}}, "is no tap"},
		{vnet.Config{FDs: []int{same, same}}, "one queue of its own"},
		{vnet.Config{FDs: []int{socket(unix.SOCK_STREAM), null()}}, "a socket is one descriptor"},
		{vnet.Config{FDs: []int{socket(unix.SOCK_DGRAM)}}, "SOCK_STREAM"},
		{vnet.Config{FDs: []int{socket(unix.SOCK_STREAM)}, QueueSize: 3}, "queue-size: 3"},
		{vnet.Config{FDs: []int{null()}, Kind: vnet.User}, "kind=fd"},
	} {
		d, err := vnet.New(tt.c)
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
		for _, fd := range tt.c.FDs {
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
				t.Errorf("%v: descriptor %d is left open", err, fd)
			}
		}
	}
}
