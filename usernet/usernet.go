// Package usernet is a network in user space for one machine: a router with DHCP,
// DNS and address translation that needs no privilege, on gvisor's network stack.
// It speaks Ethernet frames over a stream, each behind its length (u32,
// big-endian), as QEMU and passt do.
//
// It is IPv4 alone:
//
//	192.168.127.0/24    the network
//	192.168.127.1       the router: DHCP and DNS
//	192.168.127.2       the machine
//	192.168.127.254     the host's 127.0.0.1, where Config.Host is set
//
// The package is no part of the command mayfly, which could not pay for it at each
// start: cmd/mayfly-usernet is a process of its own.
package usernet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/containers/gvisor-tap-vsock/pkg/services/dhcp"
	"github.com/containers/gvisor-tap-vsock/pkg/services/dns"
	"github.com/containers/gvisor-tap-vsock/pkg/services/forwarder"
	"github.com/containers/gvisor-tap-vsock/pkg/tap"
	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"github.com/sirupsen/logrus"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// Addresses of the network.
const (
	Subnet  = "192.168.127.0/24"
	Gateway = "192.168.127.1"
	Guest   = "192.168.127.2"
	Host    = "192.168.127.254"
	// HostName is Host's name in the DNS.
	HostName = "host.mayfly.internal"

	gatewayMAC = "5a:94:ef:e4:0c:ee"
)

// MTUs, in bytes.
const (
	DefaultMTU = 1500
	MinMTU     = 576 // what every IPv4 host takes
	MaxMTU     = 65520
)

// Config is one network. The zero value of each field is its default.
type Config struct {
	// MTU in bytes; 0: 1500.
	MTU int
	// MAC is the machine's address; empty: the first machine that asks gets Guest.
	MAC string
	// Forwards lead from the host to the machine.
	Forwards []vnet.Forward
	// Isolated: no way out, and no DNS. Forwards work.
	Isolated bool
	// Host lets the machine reach what listens on the host's 127.0.0.1.
	Host bool
}

// Network is a running network.
type Network struct {
	stack *stack.Stack
	sw    *tap.Switch
	fw    *forwarder.PortsForwarder
	ports []listening
}

// New makes a network and listens at the host's ports.
func New(c Config) (*Network, error) {
	logrus.SetOutput(io.Discard) // the library's words are about single packets
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.MTU < MinMTU || c.MTU > MaxMTU {
		return nil, fmt.Errorf("mtu: %d; it has %d to %d bytes", c.MTU, MinMTU, MaxMTU)
	}
	_, subnet, err := net.ParseCIDR(Subnet)
	if err != nil {
		return nil, err
	}
	conf := &types.Configuration{MTU: c.MTU, Subnet: Subnet, GatewayIP: Gateway, GatewayMacAddress: gatewayMAC}
	pool := tap.NewIPPool(subnet)
	pool.Reserve(net.ParseIP(Gateway), gatewayMAC)
	if c.Host {
		conf.GatewayVirtualIPs = []string{Host}
		conf.DNS = []types.Zone{{Name: "mayfly.internal.", Records: []types.Record{{Name: "host", IP: net.ParseIP(Host)}}}}
	}
	// Nobody else gets the host's address, be it in use or not.
	pool.Reserve(net.ParseIP(Host), gatewayMAC)
	if c.MAC != "" {
		pool.Reserve(net.ParseIP(Guest), c.MAC)
	}
	link, err := tap.NewLinkEndpoint(false, uint32(c.MTU), gatewayMAC, Gateway, conf.GatewayVirtualIPs)
	if err != nil {
		return nil, err
	}
	n := &Network{sw: tap.NewSwitch(false)}
	link.Connect(n.sw)
	n.sw.Connect(link)
	if n.stack, err = newStack(link, subnet); err != nil {
		return nil, err
	}
	if err := n.serve(c, conf, pool); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func newStack(link stack.LinkEndpoint, subnet *net.IPNet) (*stack.Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	if err := s.CreateNIC(1, link); err != nil {
		return nil, errors.New(err.String())
	}
	address := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: addr(Gateway).WithPrefix()}
	if err := s.AddProtocolAddress(1, address, stack.AddressProperties{}); err != nil {
		return nil, errors.New(err.String())
	}
	if err := boundConnections(s); err != nil {
		return nil, err
	}
	// The stack answers for the whole world.
	s.SetSpoofing(1, true)
	s.SetPromiscuousMode(1, true)
	route, err := tcpip.NewSubnet(tcpip.AddrFromSlice(subnet.IP), tcpip.MaskFromBytes(subnet.Mask))
	if err != nil {
		return nil, err
	}
	s.SetRouteTable([]tcpip.Route{{Destination: route, NIC: 1}})
	return s, nil
}

func addr(s string) tcpip.Address { return tcpip.AddrFrom4Slice(net.ParseIP(s).To4()) }

// serve starts what the router offers.
func (n *Network) serve(c Config, conf *types.Configuration, pool *tap.IPPool) error {
	if !c.Isolated {
		n.routeOut(c.Host)
	} else if c.Host {
		return errors.New("isolated and host exclude each other: the host is a way out")
	}
	leases, err := dhcp.New(conf, n.stack, pool)
	if err != nil {
		return fmt.Errorf("DHCP: %w", err)
	}
	go func() { _ = leases.Serve() }()
	if !c.Isolated {
		if err := n.serveDNS(conf); err != nil {
			return fmt.Errorf("DNS: %w", err)
		}
	}
	n.fw = forwarder.NewPortsForwarder(n.stack)
	for _, f := range c.Forwards {
		if err := n.forward(f); err != nil {
			return err
		}
	}
	return nil
}

func (n *Network) serveDNS(conf *types.Configuration) error {
	at := tcpip.FullAddress{NIC: 1, Addr: addr(Gateway), Port: 53}
	datagrams, err := gonet.DialUDP(n.stack, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	listener, err := gonet.ListenTCP(n.stack, at, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	server, err := dns.New(datagrams, listener, conf.DNS)
	if err != nil {
		return err
	}
	go func() { _ = server.Serve() }()
	go func() { _ = server.ServeTCP() }()
	return nil
}

// Serve moves frames between the machine at conn and the network until conn ends.
func (n *Network) Serve(ctx context.Context, conn net.Conn) error {
	err := n.sw.Accept(ctx, newFrames(conn), types.QemuProtocol)
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close ends the network.
func (n *Network) Close() {
	for _, l := range n.ports {
		_ = n.fw.Unexpose(l.proto, l.local)
	}
	n.stack.Close()
}
