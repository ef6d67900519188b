package usernet

import (
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// pingIdle is how long an ICMP socket waits for more.
const pingIdle = 20 * time.Second

// takeEcho reports whether a packet is an echo request for another than the router,
// and deals with it: the stack would answer for every address. Fragments of ICMP are dropped: what they are shows only
// when they are put together.
func (n *Network) takeEcho(pkt *stack.PacketBuffer) bool {
	data := pkt.Data()
	head, ok := data.PullUp(header.IPv4MinimumSize)
	if !ok {
		return false
	}
	ip := header.IPv4(head)
	to := ip.DestinationAddress()
	if ip.Protocol() != uint8(header.ICMPv4ProtocolNumber) || to == addr(Gateway) {
		return false
	}
	if ip.More() || ip.FragmentOffset() != 0 {
		return true
	}
	size, length := int(ip.HeaderLength()), int(ip.TotalLength())
	if size < header.IPv4MinimumSize || length < size+header.ICMPv4MinimumSize || length > data.Size() {
		return false
	}
	all, ok := data.PullUp(length)
	if !ok {
		return false
	}
	if echo := header.ICMPv4(all[size:]); echo.Type() == header.ICMPv4Echo {
		n.ping(ip.SourceAddress(), to, echo)
		return true
	}
	return false
}

// pingKey is a sender of echo requests, as its replies name it.
type pingKey struct {
	from, to tcpip.Address
	ident    uint16
}

// pings are the host's ICMP sockets.
type pings struct {
	flows *flows
	mu    sync.Mutex
	by    map[pingKey]*pinger
}

type pinger struct {
	flow *flow
	raw  syscall.RawConn
}

// ping passes an echo request on by a socket of the host. Where the host opens none
// (net.ipv4.ping_group_range) nobody answers.
func (n *Network) ping(from, to tcpip.Address, echo header.ICMPv4) {
	host, ok := n.reach.outside(address(to))
	if !ok || n.isolated {
		return
	}
	key := pingKey{from, to, echo.Ident()}
	n.pings.mu.Lock()
	p := n.pings.by[key]
	n.pings.mu.Unlock()
	if p == nil {
		if p = n.openPing(key, host); p == nil {
			return
		}
	}
	p.flow.touch()
	sendDatagram(p.raw, echo, nil) // the kernel writes the identifier and the checksum
}

func (n *Network) openPing(key pingKey, host netip.Addr) *pinger {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
	if err != nil {
		return nil
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: host.As4()}); err != nil {
		unix.Close(fd)
		return nil
	}
	file := os.NewFile(uintptr(fd), "ping")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil
	}
	p := &pinger{raw: raw}
	n.pings.mu.Lock()
	n.pings.by[key] = p
	n.pings.mu.Unlock()
	p.flow = n.pings.flows.add(host, func() {
		n.pings.mu.Lock()
		delete(n.pings.by, key)
		n.pings.mu.Unlock()
		file.Close()
	})
	go func() {
		defer n.pings.flows.remove(p.flow)
		for {
			err := receiveDatagram(raw, func(b []byte) { n.echoReply(key, b) })
			if err != nil && !unreachable(err) {
				return
			}
		}
	}()
	return p
}

// unreachable reports whether err is what an ICMP message reported about an earlier packet.
func unreachable(err error) bool {
	switch err {
	case unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ECONNREFUSED:
		return true
	}
	return false
}

// echoReply sends the machine an answer, with the identifier that it knows.
func (n *Network) echoReply(key pingKey, reply []byte) {
	if len(reply) < header.ICMPv4MinimumSize || header.ICMPv4(reply).Type() != header.ICMPv4EchoReply {
		return
	}
	h := header.ICMPv4(reply)
	h.SetIdent(key.ident)
	h.SetChecksum(0)
	h.SetChecksum(header.ICMPv4Checksum(h, 0))
	route, err := n.stack.FindRoute(1, key.to, key.from, ipv4.ProtocolNumber, false)
	if err != nil {
		return
	}
	defer route.Release()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: int(route.MaxHeaderLength()),
		Payload:            buffer.MakeWithData(reply),
	})
	defer pkt.DecRef()
	_ = route.WritePacket(stack.NetworkHeaderParams{Protocol: header.ICMPv4ProtocolNumber, TTL: 64}, pkt)
}
