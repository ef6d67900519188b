package usernet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// forward listens at a port of the host.
func (n *Network) forward(f vnet.Forward) error {
	host := f.Host
	if host == "" {
		host = "127.0.0.1" // other hosts are let in only where that is asked for
	}
	at := net.JoinHostPort(host, strconv.Itoa(int(f.HostPort)))
	guest := tcpip.FullAddress{NIC: 1, Addr: addr(Guest), Port: f.GuestPort}
	name, family := "TCP", ""
	if ip := net.ParseIP(host); ip != nil && !strings.Contains(host, ":") {
		family = "4" // otherwise 0.0.0.0 is all of IPv6 too
	}
	var err error
	if f.UDP {
		name = "UDP"
		err = n.forwardUDP("udp"+family, at, guest)
	} else {
		err = n.forwardTCP("tcp"+family, at, guest)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("forward: %s %s is in use by another program; choose another host port, or end that program (ss -lp shows it)", name, at)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("forward: %s %s: permission denied; ports below net.ipv4.ip_unprivileged_port_start (1024) need CAP_NET_BIND_SERVICE: choose a higher one", name, at)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("forward: %s %s: %s is no address of this host; leave it out for 127.0.0.1, or give 0.0.0.0 for all", name, at, host)
	}
	return fmt.Errorf("forward: %s %s: %w", name, at, err)
}

func (n *Network) forwardTCP(network, at string, guest tcpip.FullAddress) error {
	l, err := net.Listen(network, at)
	if err != nil {
		return err
	}
	n.closers = append(n.closers, l)
	go func() {
		for n.ctx.Err() == nil {
			c, err := l.Accept()
			if err != nil { // no descriptor, or the connection has ended already
				pause(n.ctx, 100*time.Millisecond)
				continue
			}
			n.accepted(c.(*net.TCPConn), guest)
		}
	}()
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// accepted serves a connection to a forwarded port, or refuses it.
func (n *Network) accepted(host *net.TCPConn, guest tcpip.FullAddress) {
	peer := host.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
	if !n.forwarded.take(peer) {
		_ = host.SetLinger(0)
		host.Close()
		return
	}
	go func() {
		defer n.forwarded.put(peer)
		ep, err := n.dialGuest(guest)
		if err != nil {
			_ = host.SetLinger(0)
			host.Close()
			return
		}
		n.relay(ep, host)
	}()
}

// dialGuest connects to the machine.
func (n *Network) dialGuest(to tcpip.FullAddress) (endpoint, error) {
	queue := new(waiter.Queue)
	ep, terr := n.stack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, queue)
	if terr != nil {
		return endpoint{}, errors.New(terr.String())
	}
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	queue.EventRegister(&entry)
	defer queue.EventUnregister(&entry)
	terr = ep.Connect(to)
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		select {
		case <-ready:
			terr = ep.LastError()
		case <-time.After(dialTimeout):
			terr = &tcpip.ErrTimeout{}
		case <-n.ctx.Done():
			terr = &tcpip.ErrAborted{}
		}
	}
	if terr != nil {
		ep.Abort()
		return endpoint{}, errors.New(terr.String())
	}
	return endpoint{ep, queue}, nil
}

// datagramForward is a UDP port of the host that leads to one of the machine.
type datagramForward struct {
	n     *Network
	raw   syscall.RawConn
	guest tcpip.FullAddress
	flows *flows

	mu sync.Mutex
	by map[netip.AddrPort]*datagramClient
}

// datagramClient is who sends to a forward.
type datagramClient struct {
	flow *flow
	ep   tcpip.Endpoint
}

func (n *Network) forwardUDP(network, at string, guest tcpip.FullAddress) error {
	local, err := net.ResolveUDPAddr(network, at)
	if err != nil {
		return err
	}
	l, err := net.ListenUDP(network, local)
	if err != nil {
		return err
	}
	n.closers = append(n.closers, l)
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	if n.forwardFlows == nil {
		n.forwardFlows = newFlows(maxForwardFlows, datagramIdle)
		go n.forwardFlows.expire(n.ctx)
	}
	d := &datagramForward{n: n, raw: raw, guest: guest, flows: n.forwardFlows, by: map[netip.AddrPort]*datagramClient{}}
	go d.run(l)
	return nil
}

func (d *datagramForward) run(l *net.UDPConn) {
	buf := make([]byte, datagramSize)
	for d.n.ctx.Err() == nil {
		size, from, err := l.ReadFromUDPAddrPort(buf)
		if err != nil {
			pause(d.n.ctx, 10*time.Millisecond)
			continue
		}
		if c := d.client(from); c != nil {
			_, _ = c.ep.Write(bytes.NewReader(buf[:size]), tcpip.WriteOptions{})
		}
	}
}

// client is the flow of an address, a new one where there is none.
func (d *datagramForward) client(from netip.AddrPort) *datagramClient {
	d.mu.Lock()
	c := d.by[from]
	d.mu.Unlock()
	if c != nil {
		c.flow.touch()
		return c
	}
	var queue waiter.Queue
	ep, err := d.n.stack.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, &queue)
	if err != nil {
		return nil
	}
	if err := ep.Connect(d.guest); err != nil {
		ep.Close()
		return nil
	}
	c = &datagramClient{ep: ep}
	d.mu.Lock()
	d.by[from] = c
	d.mu.Unlock()
	back := sockaddr(from)
	entry := waiter.NewFunctionEntry(waiter.ReadableEvents, func(waiter.EventMask) {
		c.flow.touch()
		drain(ep, func(p []byte) { sendDatagram(d.raw, p, back) })
	})
	c.flow = d.flows.add(from.Addr(), func() {
		d.mu.Lock()
		delete(d.by, from)
		d.mu.Unlock()
		queue.EventUnregister(&entry)
		ep.Close()
	})
	queue.EventRegister(&entry)
	return c
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	zone, err := strconv.Atoi(a.Addr().Zone())
	if i, e := net.InterfaceByName(a.Addr().Zone()); err != nil && e == nil {
		zone = i.Index
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: uint32(zone)}
}
