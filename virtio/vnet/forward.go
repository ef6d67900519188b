package vnet

import (
	"fmt"
	"strconv"
	"strings"
)

// Forward is a port of the host that leads into the machine.
type Forward struct {
	UDP       bool
	Host      string // address to listen at; empty: 127.0.0.1
	HostPort  uint16
	GuestPort uint16
}

// ParseForward reads [tcp:|udp:][address:]host port:guest port, an IPv6 address in
// brackets.
func ParseForward(s string) (f Forward, err error) {
	rest := s
	if r, ok := strings.CutPrefix(rest, "udp:"); ok {
		f.UDP, rest = true, r
	} else if r, ok := strings.CutPrefix(rest, "tcp:"); ok {
		rest = r
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 {
		return f, fmt.Errorf("%q: it has the form [udp:][address:]host port:guest port, such as 8080:80", s)
	}
	if f.GuestPort, err = port(rest[i+1:]); err != nil {
		return f, fmt.Errorf("%q: guest port: %w", s, err)
	}
	rest = rest[:i]
	if i = strings.LastIndexByte(rest, ':'); i >= 0 {
		f.Host, rest = rest[:i], rest[i+1:]
		if h, ok := strings.CutPrefix(f.Host, "["); ok {
			if f.Host, ok = strings.CutSuffix(h, "]"); !ok {
				return f, fmt.Errorf("%q: the bracket before the address has no end", s)
			}
		} else if strings.Contains(f.Host, ":") {
			return f, fmt.Errorf("%q: an IPv6 address stands in brackets: [::1]:8080:80", s)
		}
	}
	if f.HostPort, err = port(rest); err != nil {
		return f, fmt.Errorf("%q: host port: %w", s, err)
	}
	return f, nil
}

func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port; there are 1 to 65535", s)
	}
	return uint16(n), nil
}

// Overlaps reports whether two forwards cannot listen at the same time.
func (f Forward) Overlaps(g Forward) bool {
	return f.UDP == g.UDP && f.HostPort == g.HostPort && (f.covers(g) || g.covers(f))
}

// covers reports whether a forward listens at the other's address. At :: it listens
// at IPv4's too.
func (f Forward) covers(g Forward) bool {
	switch f.Host {
	case "::":
		return true
	case "0.0.0.0":
		return !strings.Contains(g.Host, ":")
	}
	return f.host() == g.host()
}

func (f Forward) host() string {
	if f.Host == "" {
		return "127.0.0.1"
	}
	return f.Host
}

// String is the form that ParseForward reads, without what is by default.
func (f Forward) String() string {
	s := strconv.Itoa(int(f.HostPort)) + ":" + strconv.Itoa(int(f.GuestPort))
	switch {
	case strings.Contains(f.Host, ":"):
		s = "[" + f.Host + "]:" + s
	case f.Host != "":
		s = f.Host + ":" + s
	}
	if f.UDP {
		s = "udp:" + s
	}
	return s
}
