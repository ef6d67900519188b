package usernet

import (
	"errors"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// dhcpServer gives the machine its address (RFC 2131).
type dhcpServer struct {
	mtu    int
	leases map[string]net.IP // by Ethernet address, for ever
	// search returns the search domains; nil: there is no name server.
	search func() []string
}

// serveDHCP answers one message after the other: what a machine sends without
// reading its answers piles up nowhere.
func (n *Network) serveDHCP(s *dhcpServer) error {
	var queue waiter.Queue
	ep, terr := n.stack.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, &queue)
	if terr != nil {
		return errors.New(terr.String())
	}
	ep.SocketOptions().SetBroadcast(true)
	if terr := ep.Bind(tcpip.FullAddress{NIC: 1, Port: dhcpv4.ServerPort}); terr != nil {
		ep.Close()
		return errors.New(terr.String())
	}
	conn := gonet.NewUDPConn(&queue, ep)
	n.closers = append(n.closers, conn)
	go func() {
		buf := make([]byte, 4096)
		for n.ctx.Err() == nil {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				pause(n.ctx, 10*time.Millisecond)
				continue
			}
			peer, ok := from.(*net.UDPAddr)
			reply := s.answer(buf[:size])
			if !ok || reply == nil {
				continue
			}
			if peer.IP.IsUnspecified() {
				peer.IP = net.IPv4bcast
			}
			_, _ = conn.WriteTo(reply, peer)
		}
	}()
	return nil
}

// answer is the answer to a message; nil: there is none.
func (s *dhcpServer) answer(message []byte) []byte {
	m, err := dhcpv4.FromBytes(message)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootRequest {
		return nil
	}
	kind := dhcpv4.MessageTypeOffer
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
	case dhcpv4.MessageTypeRequest:
		kind = dhcpv4.MessageTypeAck
	default:
		return nil
	}
	ip := s.lease(m.ClientHWAddr.String())
	if ip == nil {
		return nil // all are taken
	}
	router := net.ParseIP(Gateway)
	_, subnet, err := net.ParseCIDR(Subnet)
	if err != nil {
		return nil
	}
	reply, err := dhcpv4.NewReplyFromRequest(m,
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithYourIP(ip),
		dhcpv4.WithServerIP(router),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(router)),
		dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(time.Hour)),
		dhcpv4.WithOption(dhcpv4.OptSubnetMask(subnet.Mask)),
		dhcpv4.WithOption(dhcpv4.OptRouter(router)),
		dhcpv4.WithOption(dhcpv4.Option{Code: dhcpv4.OptionInterfaceMTU, Value: dhcpv4.Uint16(s.mtu)}),
	)
	if err != nil {
		return nil
	}
	if s.search != nil {
		reply.UpdateOption(dhcpv4.OptDNS(router))
		if domains := s.search(); len(domains) > 0 {
			// Option 15 for clients that do not know option 119.
			reply.UpdateOption(dhcpv4.OptDomainName(domains[0]))
			reply.UpdateOption(dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: domains}))
		}
	}
	return reply.ToBytes()
}

// lease is the address of a machine. The first one that asks gets Guest, unless
// that is another's by the configuration.
func (s *dhcpServer) lease(mac string) net.IP {
	if ip, ok := s.leases[mac]; ok {
		return ip
	}
	taken := map[byte]bool{}
	for _, ip := range s.leases {
		taken[ip[3]] = true
	}
	ip := net.ParseIP(Guest).To4()
	for ; ip[3] < net.ParseIP(Host).To4()[3]; ip[3]++ {
		if !taken[ip[3]] {
			s.leases[mac] = ip
			return ip
		}
	}
	return nil
}
