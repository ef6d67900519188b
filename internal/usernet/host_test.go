package usernet_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/mayfly-vm/mayfly/internal/usernet"
)

// ping sends an echo request and reports whether it was answered.
func (g *guest) ping(to string, d time.Duration) bool {
	g.t.Helper()
	var queue waiter.Queue
	ep, err := g.s.NewEndpoint(icmp.ProtocolNumber4, ipv4.ProtocolNumber, &queue)
	if err != nil {
		g.t.Fatal(err)
	}
	defer ep.Close()
	if err := ep.Connect(address(to, 0)); err != nil {
		g.t.Fatal(err)
	}
	c := gonet.NewUDPConn(&queue, ep)
	echo := header.ICMPv4(make([]byte, header.ICMPv4MinimumSize+56))
	echo.SetType(header.ICMPv4Echo)
	echo.SetSequence(7)
	if _, err := c.Write(echo); err != nil {
		g.t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(d))
	b := make([]byte, 200)
	n, rerr := c.Read(b)
	if rerr != nil {
		return false
	}
	reply := header.ICMPv4(b[:n])
	if reply.Type() != header.ICMPv4EchoReply || reply.Sequence() != 7 || n != len(echo) {
		g.t.Errorf("%x came back", b[:n])
	}
	return true
}

// hostEcho serves a TCP and a UDP port of all the host's addresses.
func hostEcho(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	u, err := net.ListenPacket("udp4", (&net.UDPAddr{IP: net.IPv4zero, Port: port}).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); u.Close() })
	go serveEach(l, func(c net.Conn) { io.Copy(c, c) })
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			u.WriteTo(b[:n], from)
		}
	}()
	return uint16(port)
}

func (g *guest) tcpReaches(ip string, port uint16, d time.Duration) bool {
	ctx, stop := context.WithTimeout(context.Background(), d)
	defer stop()
	c, err := gonet.DialContextTCP(ctx, g.s, address(ip, port), ipv4.ProtocolNumber)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// TestHostIsNotReached: what listens at all of the host's addresses is reached by none
// of them, whenever the host got it, unless that is asked for.
func TestHostIsNotReached(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0); err != nil {
		t.Skip(err)
	}
	port := hostEcho(t)
	closed := start(t, usernet.Config{})
	open := start(t, usernet.Config{Host: true})
	metadata := start(t, usernet.Config{Allow: []string{"169.254.0.0/16", "203.0.113.0/24"}, Host: true})
	ip(t, "addr", "add", "203.0.113.9/32", "dev", "dummy0")     // after the networks were made
	ip(t, "addr", "add", "169.254.169.254/32", "dev", "dummy0") // a metadata service on the host
	ip(t, "route", "add", "local", "100.64.0.0/24", "dev", "lo")
	const short, long = 300 * time.Millisecond, 20 * time.Second
	for _, tc := range []struct {
		ip         string
		open, meta bool
	}{
		{"198.51.100.1", true, false},
		{"203.0.113.9", true, true},
		{"100.64.0.7", true, false}, // local without being an interface's
		{usernet.Host, true, true},
		{"127.0.0.1", false, false},
		{"0.0.0.0", false, false},
		{"169.254.169.254", false, true},
		{"198.51.100.255", false, false},
	} {
		for _, g := range []struct {
			name string
			g    *guest
			want bool
		}{{"default", closed, false}, {"host", open, tc.open}, {"host and allow", metadata, tc.meta}} {
			d := short
			if g.want {
				d = long
			}
			if got := g.g.tcpReaches(tc.ip, port, d); got != g.want {
				t.Errorf("%s: TCP to %s: %v", g.name, tc.ip, got)
			}
			if _, err := g.g.ask(tc.ip, port, []byte("hello"), d); (err == nil) != g.want {
				t.Errorf("%s: UDP to %s: %v", g.name, tc.ip, err)
			}
			if tc.ip == "0.0.0.0" {
				continue // the guest's own stack sends no such packet
			}
			if got := g.g.ping(tc.ip, d); got != g.want {
				t.Errorf("%s: ping %s: %v", g.name, tc.ip, got)
			}
		}
	}
}

// TestPing: the router answers, and for others only they themselves do.
func TestPing(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	g := start(t, usernet.Config{Host: true})
	if !g.ping(usernet.Gateway, 20*time.Second) {
		t.Error("the router does not answer")
	}
	// The range is empty, so the host opens no ICMP socket.
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("1 0"), 0); err != nil {
		t.Skip(err)
	}
	if g.ping(usernet.Host, 300*time.Millisecond) {
		t.Error("the host answers without a socket")
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if !g.ping(usernet.Host, 20*time.Second) {
			t.Error("the host does not answer")
		}
	}
	if g.ping("198.51.100.77", 300*time.Millisecond) {
		t.Error("nobody answers")
	}
	isolated := start(t, usernet.Config{Isolated: true})
	if !isolated.ping(usernet.Gateway, 20*time.Second) {
		t.Error("the router does not answer on an isolated network")
	}
	if isolated.ping("198.51.100.1", 300*time.Millisecond) {
		t.Error("the host answers on an isolated network")
	}
	// More senders than there are sockets: the new ones are answered.
	for range 300 {
		if !g.ping(usernet.Host, 20*time.Second) {
			t.Fatal("a later sender is not answered")
		}
	}
}

// TestPingFragments: the stack would put them together and answer for anybody.
func TestPingFragments(t *testing.T) {
	near, _ := serve(t)
	got := make(chan byte, 100)
	go func() {
		for {
			f, err := readFrame(near)
			if err != nil {
				return
			}
			if len(f) > 34 && f[12] == 8 && f[13] == 0 {
				got <- f[29] // the last byte of the sender's address
			}
		}
	}()
	send := func(to string, off uint16, more bool, payload []byte) {
		f := make([]byte, 34+len(payload))
		mac, _ := net.ParseMAC("5a:94:ef:e4:0c:ee")
		src, _ := net.ParseMAC(guestMAC)
		header.Ethernet(f).Encode(&header.EthernetFields{SrcAddr: tcpip.LinkAddress(src), DstAddr: tcpip.LinkAddress(mac), Type: ipv4.ProtocolNumber})
		h := header.IPv4(f[14:])
		fields := header.IPv4Fields{TotalLength: uint16(20 + len(payload)), ID: 77, TTL: 64, Protocol: 1, FragmentOffset: off,
			SrcAddr: address(usernet.Guest, 0).Addr, DstAddr: address(to, 0).Addr}
		if more {
			fields.Flags = header.IPv4FlagMoreFragments
		}
		h.Encode(&fields)
		h.SetChecksum(^h.CalculateChecksum())
		copy(f[34:], payload)
		near.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...))
	}
	arp := func() { // the router must know where to answer
		f := make([]byte, 42)
		src, _ := net.ParseMAC(guestMAC)
		header.Ethernet(f).Encode(&header.EthernetFields{SrcAddr: tcpip.LinkAddress(src), DstAddr: header.EthernetBroadcastAddress, Type: header.ARPProtocolNumber})
		a := header.ARP(f[14:])
		a.SetIPv4OverEthernet()
		a.SetOp(header.ARPRequest)
		copy(a.HardwareAddressSender(), src)
		copy(a.ProtocolAddressSender(), net.ParseIP(usernet.Guest).To4())
		copy(a.ProtocolAddressTarget(), net.ParseIP(usernet.Gateway).To4())
		near.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...))
	}
	arp()
	echo := header.ICMPv4(make([]byte, 16))
	echo.SetType(header.ICMPv4Echo)
	echo.SetChecksum(header.ICMPv4Checksum(echo, 0))
	for _, to := range []string{"203.0.113.1", usernet.Gateway} {
		send(to, 0, true, echo[:8])
		send(to, 8, false, echo[8:])
	}
	select {
	case from := <-got:
		if from != 1 {
			t.Errorf("an address that ends in %d answers", from)
		}
	case <-time.After(20 * time.Second):
		t.Error("the router does not answer")
	}
}
