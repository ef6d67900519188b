// Package usernet is a network in user space for one machine: a router with DHCP,
// DNS and address translation that needs no privilege, on gvisor's network stack.
// It speaks Ethernet frames over a stream, each preceded by its length (u32,
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
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
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
	// HostName and RouterName are what the name server calls Host and Gateway.
	HostName   = "host.mayfly.internal"
	RouterName = "router.mayfly.internal"

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
	// Host lets the machine reach what listens on the host: on 127.0.0.1 by the
	// address Host, and on the host's other addresses by themselves.
	Host bool
	// Allow and Deny are networks (CIDR) or addresses. What is in Deny is not reached;
	// where Allow has entries, nothing else is. Link-local addresses, such as those of
	// cloud metadata services, need an entry of Allow that is link-local itself. The
	// address Host is Config.Host's alone.
	Allow, Deny []string

	resolv *resolvConf // nil: that of /etc/resolv.conf
}

// Network is a running network.
type Network struct {
	ctx  context.Context // ends with the network
	stop context.CancelFunc

	stack    *stack.Stack
	link     *link
	isolated bool
	reach    reach
	routes   *hostRoutes
	closers  []io.Closer // what listens

	streams, dials, forwarded *shares
	buffers                   bufferPool
	forwardFlows              *flows // nil: no UDP port is forwarded
	pings                     pings
}

// New makes a network and listens at the host's ports.
func New(c Config) (*Network, error) {
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.MTU < MinMTU || c.MTU > MaxMTU {
		return nil, fmt.Errorf("mtu: %d; it has %d to %d bytes", c.MTU, MinMTU, MaxMTU)
	}
	if c.Isolated && (c.Host || len(c.Allow) > 0 || len(c.Deny) > 0) {
		return nil, errors.New("isolated and one of host, allow and deny are mutually exclusive: an isolated network reaches nothing")
	}
	allow, err := parseNetworks("allow", c.Allow)
	if err != nil {
		return nil, err
	}
	deny, err := parseNetworks("deny", c.Deny)
	if err != nil {
		return nil, err
	}
	n := &Network{
		isolated: c.Isolated, routes: &hostRoutes{fd: -1},
		streams: newShares(maxStreams), dials: newShares(maxDials), forwarded: newShares(maxForwarded),
		buffers: bufferPool{free: allBuffers},
		pings:   pings{flows: newFlows(maxPings, pingIdle), by: map[pingKey]*pinger{}},
	}
	if !c.Isolated {
		n.routes = newHostRoutes()
	}
	n.reach = reach{host: c.Host, allow: allow, deny: deny, route: n.routes.lookup}
	n.ctx, n.stop = context.WithCancel(context.Background())
	go n.pings.flows.expire(n.ctx)
	if err = n.open(c); err == nil {
		err = n.serve(c)
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// open makes the network stack and its link.
func (n *Network) open(c Config) error {
	mac, err := net.ParseMAC(gatewayMAC)
	if err != nil {
		return err
	}
	n.link = &link{mtu: uint32(c.MTU), mac: tcpip.LinkAddress(mac), answers: []tcpip.Address{addr(Gateway)}, filter: n.takeEcho}
	if c.Host {
		n.link.answers = append(n.link.answers, addr(Host))
	}
	_, subnet, err := net.ParseCIDR(Subnet)
	if err != nil {
		return err
	}
	n.stack, err = newStack(n.link, subnet)
	return err
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
	if err := boundStreams(s); err != nil {
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

// boundStreams sets what the stack keeps for each TCP connection.
func boundStreams(s *stack.Stack) error {
	// A connection that the network has closed first keeps its ports for that long.
	wait := tcpip.TCPTimeWaitTimeoutOption(time.Second)
	retries := tcpip.TCPSynRetriesOption(synRetries)
	for _, o := range []tcpip.SettableTransportProtocolOption{
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: minBuffer, Default: maxBuffer, Max: maxBuffer},
		&tcpip.TCPSendBufferSizeRangeOption{Min: minBuffer, Default: maxBuffer, Max: maxBuffer},
		&wait, &retries,
	} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return errors.New(err.String())
		}
	}
	return nil
}

func addr(s string) tcpip.Address { return tcpip.AddrFrom4Slice(net.ParseIP(s).To4()) }

// serve starts what the router offers.
func (n *Network) serve(c Config) error {
	dhcp := &dhcpServer{mtu: c.MTU, leases: map[string]net.IP{}}
	if c.MAC != "" {
		mac, err := net.ParseMAC(c.MAC)
		if err != nil {
			return fmt.Errorf("mac: %w", err)
		}
		dhcp.leases[mac.String()] = net.ParseIP(Guest).To4()
	}
	if !c.Isolated {
		n.connectOut()
		resolv := c.resolv
		if resolv == nil {
			resolv = &resolvConf{path: ResolvConf}
		}
		dhcp.search = func() []string { return resolv.get().search }
		names := map[string]net.IP{RouterName + ".": net.ParseIP(Gateway)}
		if c.Host {
			names[HostName+"."] = net.ParseIP(Host)
		}
		if err := n.serveDNS(&nameServer{conf: resolv, names: names, slots: make(chan struct{}, maxQueries)}); err != nil {
			return fmt.Errorf("DNS: %w", err)
		}
	}
	if err := n.serveDHCP(dhcp); err != nil {
		return fmt.Errorf("DHCP: %w", err)
	}
	for _, f := range c.Forwards {
		if err := n.forward(f); err != nil {
			return err
		}
	}
	return nil
}

// Serve moves frames between the machine at conn and the network until conn or ctx
// ends.
func (n *Network) Serve(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	err := n.link.serve(conn)
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return nil
		}
	}
	return err
}

// Close ends the network.
func (n *Network) Close() {
	n.stop()
	for _, c := range n.closers {
		_ = c.Close()
	}
	n.routes.close()
	if n.stack != nil {
		n.stack.Close()
	}
}
