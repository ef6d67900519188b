package usernet

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A frame's length with its Ethernet header.
const (
	minFrame = header.EthernetMinimumSize
	maxFrame = MaxMTU + header.EthernetMinimumSize + 4
)

// lengthSize is that of the length in front of a frame, in bytes.
const lengthSize = 4

// link is the network stack's Ethernet card: frames on a stream to the machine. It
// implements stack.LinkEndpoint.
type link struct {
	mtu     uint32
	mac     tcpip.LinkAddress
	answers []tcpip.Address // addresses that ARP answers for
	// filter reports whether it has taken an IPv4 packet.
	filter func(*stack.PacketBuffer) bool

	dispatcher stack.NetworkDispatcher

	mu    sync.Mutex // of what follows
	conn  net.Conn   // nil: there is no machine
	parts net.Buffers
	sizes [][lengthSize]byte
}

var _ stack.LinkEndpoint = (*link)(nil)

// serve reads frames from the machine until conn ends.
func (l *link) serve(conn net.Conn) error {
	l.mu.Lock()
	l.conn = conn
	l.mu.Unlock()
	defer func() {
		conn.Close() // first: it ends a write that holds the lock
		l.mu.Lock()
		l.conn = nil
		l.mu.Unlock()
	}()
	r := bufio.NewReaderSize(conn, datagramSize)
	for {
		var length [lengthSize]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(length[:])
		if size < minFrame || size > maxFrame {
			return fmt.Errorf("usernet: a frame of %d bytes; there are %d to %d", size, minFrame, maxFrame)
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(r, frame); err != nil {
			return err
		}
		l.deliver(frame)
	}
}

// deliver hands a frame that is for the router to the stack.
func (l *link) deliver(frame []byte) {
	eth := header.Ethernet(frame)
	if to := eth.DestinationAddress(); to != l.mac && to != header.EthernetBroadcastAddress {
		return
	}
	data := buffer.MakeWithData(frame)
	data.TrimFront(header.EthernetMinimumSize)
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: data})
	defer pkt.DecRef()
	if eth.Type() == ipv4.ProtocolNumber && l.filter(pkt) {
		return
	}
	l.dispatcher.DeliverNetworkPacket(eth.Type(), pkt)
}

// WritePackets is stack.LinkWriter's. It waits for a machine that does not read.
func (l *link) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	packets := list.AsSlice()
	if l.conn == nil {
		return len(packets), nil // lost, as with a cable that is out
	}
	l.parts = l.parts[:0]
	if len(l.sizes) < len(packets) {
		l.sizes = make([][lengthSize]byte, len(packets))
	}
	for i, p := range packets {
		if l.foreignARP(p) {
			continue
		}
		eth := header.Ethernet(p.LinkHeader().Push(header.EthernetMinimumSize))
		eth.Encode(&header.EthernetFields{Type: p.NetworkProtocolNumber, SrcAddr: l.mac, DstAddr: p.EgressRoute.RemoteLinkAddress})
		binary.BigEndian.PutUint32(l.sizes[i][:], uint32(p.Size()))
		l.parts = append(l.parts, l.sizes[i][:])
		l.parts = append(l.parts, p.AsSlices()...)
	}
	parts := l.parts // WriteTo consumes what it writes
	if _, err := parts.WriteTo(l.conn); err != nil {
		l.conn.Close() // a frame may have been written in part
		return 0, &tcpip.ErrAborted{}
	}
	clear(l.parts)
	return len(packets), nil
}

// foreignARP reports whether a packet is an ARP answer for another address than the
// router's: the stack, which speaks for the whole world, would answer for all.
func (l *link) foreignARP(p *stack.PacketBuffer) bool {
	if p.NetworkProtocolNumber != arp.ProtocolNumber {
		return false
	}
	h := header.ARP(p.NetworkHeader().Slice())
	if !h.IsValid() || h.Op() != header.ARPReply {
		return false
	}
	from := tcpip.AddrFromSlice(h.ProtocolAddressSender())
	for _, a := range l.answers {
		if a == from {
			return false
		}
	}
	return true
}

// The rest of stack.LinkEndpoint.

func (l *link) MTU() uint32                             { return l.mtu }
func (l *link) SetMTU(mtu uint32)                       { l.mtu = mtu }
func (l *link) MaxHeaderLength() uint16                 { return header.EthernetMinimumSize }
func (l *link) LinkAddress() tcpip.LinkAddress          { return l.mac }
func (l *link) SetLinkAddress(mac tcpip.LinkAddress)    { l.mac = mac }
func (l *link) Attach(d stack.NetworkDispatcher)        { l.dispatcher = d }
func (l *link) IsAttached() bool                        { return l.dispatcher != nil }
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (l *link) AddHeader(*stack.PacketBuffer)           {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (l *link) Wait()                                   {}
func (l *link) Close()                                  {}
func (l *link) SetOnCloseAction(func())                 {}

// Capabilities: the machine's own card is what computes and checks what it sends.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityResolutionRequired | stack.CapabilityRXChecksumOffload
}
