package usernet

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// dialTimeout is how long a connection may take to be established, on either side.
const dialTimeout = 10 * time.Second

// datagramIdle is how long a UDP flow is kept that nothing uses.
const datagramIdle = 90 * time.Second

// synRetries bounds the time in which the machine completes or answers a handshake
// (1 + 2 + 4 + 8 s); the host's socket waits for it.
const synRetries = 3

// firstWindow is what the machine may send before the connection has its buffer, in
// bytes.
const firstWindow = 16 << 10

// connectOut lets connections and datagrams out, from the host's own sockets.
func (n *Network) connectOut() {
	// The number of handshakes is bounded by the shares; one that has no room is
	// refused, not left without an answer.
	streams := tcp.NewForwarder(n.stack, firstWindow, 2*maxDials, func(r *tcp.ForwarderRequest) {
		if !n.connect(r) {
			r.Complete(true)
		}
	})
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, streams.HandlePacket)
	datagrams := newFlows(maxDatagrams, datagramIdle)
	go datagrams.expire(n.ctx)
	first := udp.NewForwarder(n.stack, func(r *udp.ForwarderRequest) { n.openDatagrams(datagrams, r) })
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, func(id stack.TransportEndpointID, p *stack.PacketBuffer) bool {
		// Only the first packet between two ports comes here.
		if _, ok := n.reach.outside(address(id.LocalAddress)); !ok {
			return false
		}
		return first.HandlePacket(id, p)
	})
}

func address(a tcpip.Address) netip.Addr {
	ip, _ := netip.AddrFromSlice(a.AsSlice())
	return ip
}

// connect serves a connection that the machine opens; it reports false where the
// request is still to be refused.
func (n *Network) connect(r *tcp.ForwarderRequest) bool {
	to, ok := n.reach.outside(address(r.ID().LocalAddress))
	if !ok || !n.streams.take(to) {
		return false
	}
	defer n.streams.put(to)
	host, err := n.dial(netip.AddrPortFrom(to, r.ID().LocalPort))
	if err != nil {
		return false
	}
	var queue waiter.Queue
	ep, terr := r.CreateEndpoint(&queue)
	if terr != nil {
		_ = host.SetLinger(0)
		host.Close()
		return false
	}
	r.Complete(false)
	n.relay(endpoint{ep, &queue}, host)
	return true
}

var errBusy = errors.New("too many connections are being established")

func (n *Network) dial(to netip.AddrPort) (*net.TCPConn, error) {
	if !n.dials.take(to.Addr()) {
		return nil, errBusy
	}
	defer n.dials.put(to.Addr())
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.DialContext(n.ctx, "tcp4", to.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// openDatagrams begins a UDP flow. It is called where the machine's frames are read,
// and must not wait.
func (n *Network) openDatagrams(flows *flows, r *udp.ForwarderRequest) {
	to, ok := n.reach.outside(address(r.ID().LocalAddress))
	if !ok {
		return
	}
	var guest tcpip.Endpoint
	var host *net.UDPConn
	var queue waiter.Queue
	var entry waiter.Entry
	var mu sync.Mutex // makes closing wait for opening
	mu.Lock()
	defer mu.Unlock()
	f := flows.add(to, func() {
		mu.Lock()
		defer mu.Unlock()
		if guest != nil {
			queue.EventUnregister(&entry)
			guest.Close()
		}
		if host != nil {
			host.Close()
		}
	})
	fail := func() { go flows.remove(f) }
	var err error
	if host, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, r.ID().LocalPort))); err != nil {
		host = nil
		fail()
		return
	}
	raw, err := host.SyscallConn()
	if err != nil {
		fail()
		return
	}
	ep, terr := r.CreateEndpoint(&queue)
	if terr != nil {
		fail()
		return
	}
	guest = ep
	send := func(p []byte) { sendDatagram(raw, p, nil) }
	entry = waiter.NewFunctionEntry(waiter.ReadableEvents, func(waiter.EventMask) {
		f.touch()
		drain(ep, send)
	})
	queue.EventRegister(&entry)
	drain(ep, send)
	go func() {
		defer flows.remove(f)
		for {
			err := receiveDatagram(raw, func(p []byte) {
				f.touch()
				_, _ = ep.Write(bytes.NewReader(p), tcpip.WriteOptions{})
			})
			// Refused: an earlier datagram found no listener. There may be one later.
			if err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return
			}
		}
	}()
}
