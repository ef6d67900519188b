package usernet

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// routeType is what the host does with packets for an address (rtm_type in
// include/uapi/linux/rtnetlink.h).
type routeType uint8

const (
	routeNone    routeType = 0
	routeUnicast routeType = unix.RTN_UNICAST
	routeLocal   routeType = unix.RTN_LOCAL
)

// hostRoutes asks the host's routing tables. Their answer is always current, and it
// covers what is local without being an interface's address.
type hostRoutes struct {
	mu  sync.Mutex
	fd  int // a netlink socket; -1: none
	seq uint32

	read time.Time // of own
	own  []netip.Prefix
}

func newHostRoutes() *hostRoutes {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return &hostRoutes{fd: -1}
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	return &hostRoutes{fd: fd}
}

func (h *hostRoutes) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd >= 0 {
		unix.Close(h.fd)
		h.fd = -1
	}
}

// lookup reports what a is to the host.
func (h *hostRoutes) lookup(a netip.Addr) routeType {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, err := h.ask(a)
	switch {
	case err == nil:
		return t
	case errors.Is(err, errNoAnswer):
		return h.fromInterfaces(a)
	}
	return routeNone // the table's own answer: no route
}

var errNoAnswer = errors.New("the host's routing tables cannot be read")

const (
	netlinkHeader = unix.SizeofNlMsghdr
	routeRequest  = netlinkHeader + unix.SizeofRtMsg + unix.SizeofRtAttr + 4
)

// ask sends an RTM_GETROUTE for one address.
func (h *hostRoutes) ask(a netip.Addr) (routeType, error) {
	if h.fd < 0 {
		return 0, errNoAnswer
	}
	h.seq++
	var m [routeRequest]byte
	ne := binary.NativeEndian
	ne.PutUint32(m[0:], routeRequest)
	ne.PutUint16(m[4:], unix.RTM_GETROUTE)
	ne.PutUint16(m[6:], unix.NLM_F_REQUEST)
	ne.PutUint32(m[8:], h.seq)
	m[netlinkHeader] = unix.AF_INET
	m[netlinkHeader+1] = 32 // the destination's prefix
	attr := m[netlinkHeader+unix.SizeofRtMsg:]
	ne.PutUint16(attr[0:], unix.SizeofRtAttr+4)
	ne.PutUint16(attr[2:], unix.RTA_DST)
	ip := a.As4()
	copy(attr[unix.SizeofRtAttr:], ip[:])
	if err := unix.Sendto(h.fd, m[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, errNoAnswer
	}
	var buf [4096]byte
	for {
		n, _, err := unix.Recvfrom(h.fd, buf[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < netlinkHeader+unix.SizeofRtMsg {
			return 0, errNoAnswer
		}
		if ne.Uint32(buf[8:]) != h.seq { // of a question that was given up
			continue
		}
		switch ne.Uint16(buf[4:]) {
		case unix.RTM_NEWROUTE:
			return routeType(buf[netlinkHeader+7]), nil
		case unix.NLMSG_ERROR:
			e := syscall.Errno(-int32(ne.Uint32(buf[netlinkHeader:])))
			if e == unix.EPERM || e == unix.EOPNOTSUPP || e == unix.ENOSYS {
				return 0, errNoAnswer
			}
			return 0, e
		}
	}
}

// fromInterfaces is for hosts that hide their tables: what is no interface's address
// or broadcast address is outside.
func (h *hostRoutes) fromInterfaces(a netip.Addr) routeType {
	if now := time.Now(); now.Sub(h.read) >= time.Second {
		list, err := net.InterfaceAddrs()
		if err != nil {
			return routeNone
		}
		h.read, h.own = now, nil
		for _, n := range list {
			if n, ok := n.(*net.IPNet); ok && n.IP.To4() != nil {
				ones, _ := n.Mask.Size()
				h.own = append(h.own, netip.PrefixFrom(netip.AddrFrom4([4]byte(n.IP.To4())), ones))
			}
		}
	}
	for _, p := range h.own {
		if p.Addr() == a {
			return routeLocal
		}
		if p.Contains(a) && p.Bits() < 31 && a == broadcast(p) {
			return routeNone
		}
	}
	return routeUnicast
}

// broadcast is the last address of a network.
func broadcast(p netip.Prefix) netip.Addr {
	ip := p.Addr().As4()
	binary.BigEndian.PutUint32(ip[:], binary.BigEndian.Uint32(ip[:])|(1<<(32-p.Bits())-1))
	return netip.AddrFrom4(ip)
}
