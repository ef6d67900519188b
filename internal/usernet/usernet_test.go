package usernet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/miekg/dns"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/mayfly-vm/mayfly/internal/usernet"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

const guestMAC = "02:00:00:00:00:99"

// guest is a machine: a network stack on frames.
type guest struct {
	t    testing.TB
	s    *stack.Stack
	link *channel.Endpoint
	sent chan struct{} // has an element when a frame has left
}

// newGuest makes a machine that sends its frames with send. Frames for it go to
// deliver.
func newGuest(t testing.TB, send func([]byte)) *guest {
	mac, _ := net.ParseMAC(guestMAC)
	g := &guest{t: t, link: channel.New(512, 1514, tcpip.LinkAddress(mac)), sent: make(chan struct{}, 1)}
	g.s = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	if err := g.s.CreateNIC(1, ethernet.New(g.link)); err != nil {
		t.Fatal(err)
	}
	a := tcpip.AddrFrom4Slice(net.ParseIP(usernet.Guest).To4())
	if err := g.s.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: a, PrefixLen: 24}}, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	gw := tcpip.AddrFrom4Slice(net.ParseIP(usernet.Gateway).To4())
	g.s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, Gateway: gw, NIC: 1}})
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() { stop(); g.s.Close() })
	go func() {
		for {
			p := g.link.ReadContext(ctx)
			if p == nil {
				return
			}
			v := p.ToView()
			send(bytes.Clone(v.AsSlice()))
			v.Release()
			p.DecRef()
			select {
			case g.sent <- struct{}{}:
			default:
			}
		}
	}()
	return g
}

// receive delivers the frames of a stream.
func (g *guest) receive(conn net.Conn) {
	go func() {
		for {
			f, err := readFrame(conn)
			if err != nil {
				return
			}
			g.deliver(f)
		}
	}()
}

// readFrame reads one frame of a stream.
func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	f := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(r, f)
	return f, err
}

func (g *guest) deliver(frame []byte) {
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(bytes.Clone(frame))})
	g.link.InjectInbound(0, p)
	p.DecRef()
}

func address(s string, port uint16) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4Slice(net.ParseIP(s).To4()), Port: port}
}

// dial connects from the guest.
func (g *guest) dial(ip string, port uint16) (net.Conn, error) {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	return gonet.DialContextTCP(ctx, g.s, address(ip, port), ipv4.ProtocolNumber)
}

// echo serves a port of the guest.
func (g *guest) echo(port uint16) {
	l, err := gonet.ListenTCP(g.s, address(usernet.Guest, port), ipv4.ProtocolNumber)
	if err != nil {
		g.t.Fatal(err)
	}
	go serveEach(l, func(c net.Conn) { io.Copy(c, c) })
}

// echoUDP serves a UDP port of the guest.
func (g *guest) echoUDP(port uint16) {
	at := address(usernet.Guest, port)
	l, err := gonet.DialUDP(g.s, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		g.t.Fatal(err)
	}
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			l.WriteTo(b[:n], from)
		}
	}()
}

// start makes a network and a guest on it.
func start(t testing.TB, c usernet.Config) *guest {
	t.Helper()
	c.MAC = guestMAC
	n, err := usernet.New(c)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- n.Serve(context.Background(), far) }()
	g := newGuest(t, func(f []byte) { near.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...)) })
	g.receive(near)
	t.Cleanup(func() {
		near.Close()
		if err := <-done; err != nil && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "closed pipe") {
			t.Errorf("Serve: %v", err)
		}
		n.Close()
	})
	return g
}

func freePort(t testing.TB, network string) uint16 {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return uint16(c.LocalAddr().(*net.UDPAddr).Port)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// pingPong sends n bytes to an echoing far end and expects them back.
func pingPong(t testing.TB, c net.Conn, n int) {
	t.Helper()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	want := bytes.Repeat([]byte("mayfly! "), n/8)
	go c.Write(want)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("other bytes came back")
	}
}

func TestForwardTCP(t *testing.T) {
	port := freePort(t, "tcp")
	g := start(t, usernet.Config{Forwards: []vnet.Forward{{HostPort: port, GuestPort: 80}}, Isolated: true})
	g.echo(80)
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pingPong(t, c, 1<<20)
}

func TestForwardUDP(t *testing.T) {
	port := freePort(t, "udp")
	g := start(t, usernet.Config{Forwards: []vnet.Forward{{UDP: true, HostPort: port, GuestPort: 5353}}})
	g.echoUDP(5353)
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pingPong(t, c, 1000)
}

// TestForwardOfIPv4: a forward at all of IPv4 does not listen at IPv6.
func TestForwardOfIPv4(t *testing.T) {
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("this host has no IPv6:", err)
	} else {
		l.Close()
	}
	stream, datagram := freePort(t, "tcp"), freePort(t, "udp")
	n, err := usernet.New(usernet.Config{Isolated: true, Forwards: []vnet.Forward{
		{Host: "0.0.0.0", HostPort: stream, GuestPort: 80},
		{UDP: true, Host: "0.0.0.0", HostPort: datagram, GuestPort: 80},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if l, err := net.Listen("tcp", fmt.Sprintf("[::1]:%d", stream)); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
	if l, err := net.ListenPacket("udp", fmt.Sprintf("[::1]:%d", datagram)); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
}

func TestForwardPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	_, err = usernet.New(usernet.Config{Forwards: []vnet.Forward{{HostPort: port, GuestPort: 80}}})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("TCP 127.0.0.1:%d is in use", port)) {
		t.Error(err)
	}
}

// ask sends a message over UDP from the guest and waits for the answer.
func (g *guest) ask(ip string, port uint16, p []byte, d time.Duration) ([]byte, error) {
	to := address(ip, port)
	c, err := gonet.DialUDP(g.s, nil, &to, ipv4.ProtocolNumber)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(d))
	if _, err := c.Write(p); err != nil {
		return nil, err
	}
	b := make([]byte, 2000)
	n, err := c.Read(b)
	return b[:n], err
}

func TestDNS(t *testing.T) {
	g := start(t, usernet.Config{Host: true})
	q := new(dns.Msg)
	q.SetQuestion(usernet.HostName+".", dns.TypeA)
	p, _ := q.Pack()
	b, err := g.ask(usernet.Gateway, 53, p, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatal(err)
	}
	if len(m.Answer) != 1 || !strings.Contains(m.Answer[0].String(), usernet.Host) {
		t.Errorf("%v", m)
	}
}

// hostServer serves each connection to a port of the host's 127.0.0.1, and closes it.
func hostServer(t testing.TB, serve func(net.Conn)) uint16 {
	t.Helper()
	return serverAt(t, "127.0.0.1:0", serve)
}

// serverAt is a server at an address of the host; it returns its port.
func serverAt(t testing.TB, address string, serve func(net.Conn)) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serveEach(l, serve)
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// serveEach serves each connection in a goroutine of its own and closes it, until
// the listener is closed.
func serveEach(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			serve(c)
		}()
	}
}

func TestWayOut(t *testing.T) {
	port := hostServer(t, func(c net.Conn) { io.Copy(c, c) })
	t.Run("host", func(t *testing.T) {
		g := start(t, usernet.Config{Host: true})
		c, err := g.dial(usernet.Host, port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		pingPong(t, c, 1<<20)
	})
	// No address is a way to the host's loopback unless it was asked for.
	for _, ip := range []string{usernet.Host, "0.0.0.0", "127.0.0.1", usernet.Gateway} {
		for _, isolated := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,isolated=%v", ip, isolated), func(t *testing.T) {
				g := start(t, usernet.Config{Isolated: isolated})
				ctx, stop := context.WithTimeout(context.Background(), 500*time.Millisecond)
				defer stop()
				if c, err := gonet.DialContextTCP(ctx, g.s, address(ip, port), ipv4.ProtocolNumber); err == nil {
					c.Close()
					t.Error("it connected")
				}
			})
		}
	}
}

func TestIsolatedHasNoDNS(t *testing.T) {
	g := start(t, usernet.Config{Isolated: true})
	q := new(dns.Msg)
	q.SetQuestion("localhost.", dns.TypeTXT)
	p, _ := q.Pack()
	if _, err := g.ask(usernet.Gateway, 53, p, 300*time.Millisecond); err == nil {
		t.Error("there was an answer")
	}
}

// dhcpFrame is an Ethernet frame with a DHCP message to everybody.
func dhcpFrame(m *dhcpv4.DHCPv4) []byte {
	body := m.ToBytes()
	f := make([]byte, 14+20+8+len(body))
	eth := header.Ethernet(f)
	eth.Encode(&header.EthernetFields{SrcAddr: tcpip.LinkAddress(m.ClientHWAddr), DstAddr: header.EthernetBroadcastAddress, Type: header.IPv4ProtocolNumber})
	ip := header.IPv4(f[14:])
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(f) - 14), TTL: 64, Protocol: uint8(udp.ProtocolNumber), DstAddr: header.IPv4Broadcast, SrcAddr: header.IPv4Any})
	ip.SetChecksum(^ip.CalculateChecksum())
	u := header.UDP(f[34:])
	u.Encode(&header.UDPFields{SrcPort: 68, DstPort: 67, Length: uint16(8 + len(body))})
	copy(f[42:], body)
	return f
}

// withProgram builds mayfly-usernet into a directory in PATH.
func withProgram(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir+"/mayfly-usernet", "github.com/mayfly-vm/mayfly/cmd/mayfly-usernet").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

// TestCard is all of it: a driver's rings, the card, the program mayfly-usernet,
// and a machine on the rings that asks for its address, is reached through a
// forward, and goes.
func TestCard(t *testing.T) {
	withProgram(t)
	port := freePort(t, "tcp")
	said := make(chan error, 5)
	began := time.Now()
	dev, err := vnet.New(vnet.Config{Name: "n", MAC: guestMAC, Forward: []string{fmt.Sprintf("%d:80", port)}, Isolated: true, Report: func(err error) { said <- err }})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("New took %v", time.Since(began))
	defer dev.Close()
	d := virtiotest.New(t, dev, virtiotest.Options{})
	// A Driver belongs to one goroutine: this one.
	out := make(chan []byte, 1024)
	g := newGuest(t, func(f []byte) { out <- f })
	g.echo(80)
	rx, tx := d.Queue(0), d.Queue(1)
	seen := func([]byte) {}
	pump := func(until func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !until(); {
			for rx.Pending() < 64 {
				rx.Add(nil, []int{2000})
			}
			rx.Kick()
			for r := rx.Poll(); r != nil; r = rx.Poll() {
				f := r.In()[12:r.Written()]
				seen(f)
				g.deliver(f)
			}
			for tx.Poll() != nil {
			}
			select {
			case f := <-out:
				tx.Add([][]byte{append(make([]byte, 12), f...)}, nil)
				tx.Kick()
			case <-time.After(time.Millisecond):
			}
			select {
			case err := <-said:
				t.Fatal(err)
			default:
			}
			if time.Now().After(end) {
				t.Fatalf("nothing happened; %+v", dev.Stats())
			}
		}
	}
	mac, _ := net.ParseMAC(guestMAC)
	discover, err := dhcpv4.NewDiscovery(mac)
	if err != nil {
		t.Fatal(err)
	}
	var offer *dhcpv4.DHCPv4
	seen = func(f []byte) {
		if len(f) > 42 && binary.BigEndian.Uint16(f[36:]) == 68 {
			offer, _ = dhcpv4.FromBytes(f[42:])
		}
	}
	out <- dhcpFrame(discover)
	pump(func() bool { return offer != nil })
	t.Logf("an address after %v", time.Since(began))
	if offer.YourIPAddr.String() != usernet.Guest || offer.Router()[0].String() != usernet.Gateway {
		t.Errorf("%v", offer.Summary())
	}
	done := make(chan error, 1)
	go func() {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		c.Write([]byte("hello"))
		b := make([]byte, 5)
		_, err = io.ReadFull(c, b)
		if err == nil && string(b) != "hello" {
			err = fmt.Errorf("%q came back", b)
		}
		done <- err
	}()
	var got error
	pump(func() bool {
		select {
		case got = <-done:
			return true
		default:
			return false
		}
	})
	if got != nil {
		t.Fatal(got)
	}
	d.Instance().Close()
	dev.Close() // and with it the program
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		c.Close()
		t.Error("the forward outlives the machine")
	}
}

// TestCardPortInUse: the program's error reaches the one who starts the machine.
func TestCardPortInUse(t *testing.T) {
	withProgram(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dev, err := vnet.New(vnet.Config{Forward: []string{fmt.Sprintf("%d:80", l.Addr().(*net.TCPAddr).Port)}})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if err := dev.Ready(); err == nil || !strings.Contains(err.Error(), "in use by another program") {
		t.Error(err)
	}
	if dev.Link() {
		t.Error("the link is up")
	}
}

func TestListen(t *testing.T) {
	dir := withProgram(t)
	path := filepath.Join(dir, "s")
	c := exec.Command(dir+"/mayfly-usernet", "-listen", path, "-isolated")
	var message bytes.Buffer
	c.Stderr = &message
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 6)
	if _, err := io.ReadFull(out, ready); err != nil || string(ready) != "ready\n" {
		t.Errorf("%q, %v", ready, err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		c.Process.Kill()
		t.Fatal(err)
	}
	conn.Close()
	if err := c.Wait(); err != nil {
		t.Errorf("%v: %s", err, message.String())
	}
}

// BenchmarkNew is what a card on the user network costs the process that starts a
// machine; the program itself starts meanwhile.
func BenchmarkNew(b *testing.B) {
	withProgram(b)
	for b.Loop() {
		dev, err := vnet.New(vnet.Config{Isolated: true})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		dev.Close()
		b.StartTimer()
	}
}

// BenchmarkReady is when the user network is up, from the start of the program on.
func BenchmarkReady(b *testing.B) {
	withProgram(b)
	for b.Loop() {
		dev, err := vnet.New(vnet.Config{Forward: []string{fmt.Sprintf("%d:80", freePort(b, "tcp"))}})
		if err != nil {
			b.Fatal(err)
		}
		if err := dev.Ready(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		dev.Close()
		b.StartTimer()
	}
}
