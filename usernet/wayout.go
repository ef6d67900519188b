package usernet

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/containers/gvisor-tap-vsock/pkg/services/forwarder"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/mayfly-vm/mayfly/ratelimit"
)

// routeOut lets connections and datagrams out, from the host's own sockets.
func (n *Network) routeOut(host bool) {
	var mu sync.Mutex
	nat := map[tcpip.Address]tcpip.Address{}
	if host {
		nat[addr(Host)] = addr("127.0.0.1")
	}
	streams := forwarder.TCP(n.stack, nat, &mu, false)
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, p *stack.PacketBuffer) bool {
		// Only the first packet of a connection comes here; one too many is refused.
		return mayLeave(id, host) && n.stack.Stats().TCP.CurrentConnected.Value() < tcpFlows && streams.HandlePacket(id, p)
	})
	datagrams := forwarder.UDP(n.stack, nat, &mu, false)
	limit := ratelimit.New(ratelimit.Config{Ops: &ratelimit.Bucket{Size: udpFlows, Refill: forwarder.UDPConnTrackTimeout}})
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, func(id stack.TransportEndpointID, p *stack.PacketBuffer) bool {
		if !mayLeave(id, host) {
			return false
		}
		// Only the first packet between two ports comes here.
		return !limit.Take(0) || datagrams.HandlePacket(id, p)
	})
}

// udpFlows is how many pairs of UDP ports may begin to talk within the time for
// which the library keeps one, with 128 KiB and a socket of the host; at most twice
// as many are there at a time. The first packet of others is lost.
const udpFlows = 2048

// tcpFlows is how many connections there may be when a machine opens another. With
// the host's data in their buffers and the machine's they hold up to 1 MiB each,
// and a socket of the host. Machines on one network share them.
const tcpFlows = 1024

// tcpBuffer is the most bytes that a connection keeps for a reader, each way. The
// library would take 8 MiB. Between machine and network there is no distance that
// needs more.
const tcpBuffer = 512 << 10

func boundConnections(s *stack.Stack) error {
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBuffer, Max: tcpBuffer}
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &receive); err != nil {
		return errors.New(err.String())
	}
	// A connection that the network has closed first holds nothing of the host, but
	// counts until then.
	wait := tcpip.TCPTimeWaitTimeoutOption(time.Second)
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &wait); err != nil {
		return errors.New(err.String())
	}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBuffer, Max: tcpBuffer}
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &send); err != nil {
		return errors.New(err.String())
	}
	return nil
}

// mayLeave tells whether a packet may become one of the host's. To Linux some
// addresses are the host itself: they are no way past Config.Host.
func mayLeave(id stack.TransportEndpointID, host bool) bool {
	ip := net.IP(id.LocalAddress.AsSlice())
	switch {
	case ip.Equal(net.ParseIP(Host)):
		return host
	case ip[0] == 0 || ip.IsLoopback() || ip.IsMulticast() || ip.Equal(net.IPv4bcast):
		return false
	case ip.Equal(net.ParseIP(Gateway)):
		return false // what the router does not serve itself
	}
	return true
}
