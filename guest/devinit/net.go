package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// netSet configures a card: addr=ADDRESS/BITS, mtu, gw, up or down.
func netSet(_ context.Context, a args) (values, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	request := func(name uint, fill func(*unix.Ifreq)) error {
		r, err := unix.NewIfreq(a["if"])
		if err != nil {
			return err
		}
		fill(r)
		return unix.IoctlIfreq(fd, name, r)
	}
	if s, ok := a["mtu"]; ok {
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, err
		}
		if err := request(unix.SIOCSIFMTU, func(r *unix.Ifreq) { r.SetUint32(uint32(n)) }); err != nil {
			return nil, fmt.Errorf("mtu: %w", err)
		}
	}
	if s, ok := a["addr"]; ok {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		mask := net.CIDRMask(p.Bits(), 32)
		for _, r := range []struct {
			name uint
			addr []byte
		}{{unix.SIOCSIFADDR, p.Addr().AsSlice()}, {unix.SIOCSIFNETMASK, mask}} {
			var bad error
			if err := request(r.name, func(q *unix.Ifreq) { bad = q.SetInet4Addr(r.addr) }); err != nil || bad != nil {
				return nil, fmt.Errorf("addr: %w", errors.Join(err, bad))
			}
		}
	}
	flags := uint16(unix.IFF_UP | unix.IFF_RUNNING)
	if _, down := a["down"]; down {
		flags = 0
	}
	if err := request(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) { r.SetUint16(flags) }); err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	if gw, ok := a["gw"]; ok {
		return nil, defaultRoute(fd, gw)
	}
	return nil, nil
}

// defaultRoute is SIOCADDRT with struct rtentry (linux/route.h): pad u64, three
// sockaddr of 16 bytes (dst, gateway, genmask), flags u16; 120 bytes in all.
func defaultRoute(fd int, gw string) error {
	addr, err := netip.ParseAddr(gw)
	if err != nil {
		return err
	}
	const upGateway = 1 | 2 // RTF_UP, RTF_GATEWAY
	var r [120]byte
	for i := range 3 {
		binary.LittleEndian.PutUint16(r[8+16*i:], unix.AF_INET)
	}
	copy(r[8+16+4:], addr.AsSlice())
	binary.LittleEndian.PutUint16(r[8+48:], upGateway)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCADDRT, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return fmt.Errorf("route: %w", errno)
	}
	return nil
}

// netInfo reports what the kernel knows of a card, its offloads among it.
func netInfo(_ context.Context, a args) (values, error) {
	dir := "/sys/class/net/" + a["if"]
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	v := values{}
	for _, name := range []string{"address", "mtu", "carrier", "operstate", "speed", "statistics/rx_errors", "statistics/rx_packets", "statistics/tx_packets", "statistics/tx_errors", "statistics/rx_bytes", "statistics/tx_bytes"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			v[filepath.Base(name)] = trim(b)
		}
	}
	for _, kind := range []string{"rx", "tx"} {
		queues, _ := filepath.Glob(dir + "/queues/" + kind + "-*")
		v[kind+"queues"] = strconv.Itoa(len(queues))
	}
	// ETHTOOL_G…: linux/ethtool.h, struct ethtool_value.
	for name, cmd := range map[string]uint32{"rxcsum": 0x14, "txcsum": 0x16, "sg": 0x18, "tso": 0x1e, "gso": 0x23, "gro": 0x2b} {
		if n, err := ethtool(a["if"], cmd); err == nil {
			v[name] = strconv.Itoa(int(n))
		}
	}
	return v, nil
}

// ethtool asks one of the old questions with a number for an answer.
func ethtool(name string, cmd uint32) (uint32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	value := [2]uint32{cmd}
	var ifreq struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(ifreq.name[:unix.IFNAMSIZ-1], name)
	ifreq.data = unsafe.Pointer(&value)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifreq))); errno != 0 {
		return 0, errno
	}
	return value[1], nil
}

// carrier waits until a card's line is up (state=1) or down (state=0).
func carrier(ctx context.Context, a args) (values, error) {
	return nil, eventually(ctx, func() error {
		b, err := os.ReadFile("/sys/class/net/" + a["if"] + "/carrier")
		if err == nil && trim(b) != a["state"] {
			err = fmt.Errorf("carrier is %s", b)
		}
		return err
	})
}

// ping sends echo requests of size bytes one after the other and wants each back.
func ping(ctx context.Context, a args) (values, error) {
	count, err := a.number("count", 3)
	if err != nil {
		return nil, err
	}
	size, err := a.number("size", 56)
	if err != nil {
		return nil, err
	}
	c, err := net.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	to, err := net.ResolveIPAddr("ip4", a["addr"])
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 65536)
	for seq := range count {
		m := echoRequest(uint16(seq+1), int(size))
		// The first may be lost while the address is resolved, or the link comes up.
		back := false
		for try := 0; try < 5 && !back; try++ {
			if _, err := c.WriteTo(m, to); err != nil {
				return nil, err
			}
			c.SetReadDeadline(time.Now().Add(3 * time.Second))
			for {
				n, _, err := c.ReadFrom(buf)
				if err != nil {
					if errors.Is(err, os.ErrDeadlineExceeded) {
						break
					}
					return nil, err
				}
				if n == len(m) && buf[0] == 0 && string(buf[4:n]) == string(m[4:]) {
					back = true
					break
				}
			}
		}
		if !back {
			return nil, fmt.Errorf("no answer from %s to echo request %d", a["addr"], seq+1)
		}
	}
	return nil, nil
}

// echoRequest is an ICMP message of type 8: type, code, checksum, id, sequence.
func echoRequest(seq uint16, size int) []byte {
	m := make([]byte, 8+size)
	m[0] = 8
	binary.BigEndian.PutUint16(m[4:], uint16(os.Getpid()))
	binary.BigEndian.PutUint16(m[6:], seq)
	for i := range size {
		m[8+i] = byte(i)
	}
	sum := uint32(0)
	for i := 0; i < len(m); i += 2 {
		w := uint32(m[i]) << 8
		if i+1 < len(m) {
			w |= uint32(m[i+1])
		}
		sum += w
	}
	for sum>>16 != 0 {
		sum = sum&0xFFFF + sum>>16
	}
	binary.BigEndian.PutUint16(m[2:], ^uint16(sum))
	return m
}

// flood sends len bytes of datagrams to a broadcast address, whether anybody
// listens or not. It does not wait for a card whose queue is full.
func flood(_ context.Context, a args) (values, error) {
	s, err := a.span()
	if err != nil {
		return nil, err
	}
	to, err := netip.ParseAddrPort(a["addr"])
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
		return nil, err
	}
	p := make([]byte, 1400)
	sent, full := 0, 0
	for at := uint64(0); at < s.len; at += uint64(len(p)) {
		switch err := unix.Sendto(fd, p, unix.MSG_DONTWAIT, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err {
		case nil:
			sent++
		case unix.EAGAIN, unix.ENOBUFS:
			full++
		default:
			return nil, err
		}
	}
	return values{"sent": strconv.Itoa(sent), "full": strconv.Itoa(full)}, nil
}

// resolve asks a name server for a name.
func resolve(ctx context.Context, a args) (values, error) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, net.JoinHostPort(a["server"], "53"))
	}}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	addrs, err := r.LookupHost(ctx, a["name"])
	return values{"addrs": strings.Join(addrs, ",")}, err
}
