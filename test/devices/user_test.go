package devices

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/usernet"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// TestNetUser gives a guest the network that needs no privilege: an address by
// DHCP (asked for by the kernel itself), names, a way to the host, and a port that
// leads in.
func TestNetUser(t *testing.T) {
	for _, v := range []variant{{smallKernel, mayfly.BusMMIO, true, 1}, {smallKernel, mayfly.BusPCI, false, 4}} {
		t.Run(v.String(), func(t *testing.T) {
			free, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(free.Addr().String())
			free.Close()
			card := vnet.Config{Kind: vnet.User, HostAccess: true, Forward: []string{"127.0.0.1:" + port + ":7"}}
			g := boot(t, v, mayfly.Config{Devices: []mayfly.DeviceConfig{card}, Cmdline: cmdline(v.bus, "ip=dhcp")})
			if log := g.asks("log", "has=IP-Config")["text"]; !strings.Contains(log, "Complete") {
				t.Errorf("the kernel says of DHCP: %s", log)
			}
			g.asks("ping", "addr="+usernet.Gateway)
			if got := g.asks("resolve", "name="+usernet.HostName, "server="+usernet.Gateway)["addrs"]; got != usernet.Host {
				t.Errorf("%s is %q, want %s", usernet.HostName, got, usernet.Host)
			}
			const n = 2 * mib
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			_, ours, _ := net.SplitHostPort(l.Addr().String())
			out := g.begin("dial", "net=tcp", "addr="+usernet.Host+":"+ours, "mode=both", "seed=10", fmt.Sprintf("len=%d", n))
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			talk(t, c.(halfCloser), 10, n)
			c.Close()
			in := g.begin("serve", "net=tcp", "port=7", "mode=both", "seed=20", fmt.Sprintf("len=%d", n))
			g.says("serving 7\n")
			if c, err = net.Dial("tcp", "127.0.0.1:"+port); err != nil {
				t.Fatal(err)
			}
			talk(t, c.(halfCloser), 20, n)
			c.Close()
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

// TestNetStreamPeer has a peer at the other end of a socket that never reads, and
// then goes away: the guest's link goes down, and nothing else.
func TestNetStreamPeer(t *testing.T) {
	path := socketPath(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	card := vnet.Config{Kind: vnet.Stream, Socket: path}
	g := boot(t, small, mayfly.Config{Devices: []mayfly.DeviceConfig{card}})
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	g.asks("net", "if=eth0", "addr=10.9.5.2/24")
	g.asks("carrier", "if=eth0", "state=1")
	for i := range 3 { // far more than any buffer between holds
		g.asks("flood", "addr=10.9.5.255:9", "len=4194304", fmt.Sprintf("seed=%d", i))
	}
	peer.Close()
	g.asks("carrier", "if=eth0", "state=0")
	g.reports("net")
	g.powersOff()
}
