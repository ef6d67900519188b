package vnet

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Network is an IPv4 network, or with 32 bits one address. (Package net/netip would
// do it, and cost each start its initialisation.)
type Network struct {
	Addr [4]byte
	Bits int
}

// ParseNetwork reads a network in CIDR notation, or an address.
func ParseNetwork(s string) (n Network, err error) {
	text, bits, sized := strings.Cut(s, "/")
	n.Bits = 32
	if strings.Contains(text, ":") {
		return n, fmt.Errorf("%q: the user network has IPv4 alone; write such as 10.0.0.0/8", s)
	}
	parts := strings.Split(text, ".")
	ok := len(parts) == len(n.Addr)
	for i := 0; ok && i < len(parts); i++ {
		n.Addr[i], ok = decimal(parts[i], 255)
	}
	if ok && sized {
		var b byte
		b, ok = decimal(bits, 32)
		n.Bits = int(b)
	}
	if !ok {
		return n, fmt.Errorf("%q is no IPv4 address or network; write such as 10.0.0.0/8", s)
	}
	ip := binary.BigEndian.Uint32(n.Addr[:])
	first := Network{Bits: n.Bits}
	binary.BigEndian.PutUint32(first.Addr[:], uint32(uint64(ip)>>(32-n.Bits)<<(32-n.Bits)))
	if first != n {
		return n, fmt.Errorf("%q has bits set beyond its prefix; the network that it is in is %s", s, first)
	}
	return n, nil
}

// decimal reads a number without leading zeroes, which some would read as octal.
func decimal(s string, most uint64) (byte, bool) {
	v, err := strconv.ParseUint(s, 10, 8)
	return byte(v), err == nil && v <= most && (len(s) == 1 || s[0] != '0')
}

// String is CIDR notation.
func (n Network) String() string {
	return fmt.Sprintf("%d.%d.%d.%d/%d", n.Addr[0], n.Addr[1], n.Addr[2], n.Addr[3], n.Bits)
}
