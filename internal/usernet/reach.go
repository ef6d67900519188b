package usernet

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// reach decides which addresses the machine reaches.
type reach struct {
	host        bool // the host's own addresses too
	allow, deny []netip.Prefix
	route       func(netip.Addr) routeType
}

var (
	network   = netip.MustParsePrefix(Subnet)
	hostAlias = netip.MustParseAddr(Host)
	loopback  = netip.MustParseAddr("127.0.0.1")
	linkLocal = netip.MustParsePrefix("169.254.0.0/16")

	// never are addresses that are nobody's outside this host and its links: "this
	// network", loopback, multicast, reserved and broadcast.
	never = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("240.0.0.0/4"),
	}
)

// outside returns the address for which the machine's packets to a leave the host;
// false: they do not. In this order:
//
//   - Host leads to 127.0.0.1 where Config.Host is set; the rest of the network, and
//     what never lists, leads nowhere.
//   - deny refuses.
//   - Link-local addresses need an entry of allow that is itself link-local.
//   - Where allow has entries, all others are refused.
//   - The host's own addresses need Config.Host.
func (r *reach) outside(a netip.Addr) (netip.Addr, bool) {
	switch {
	case a == hostAlias:
		return loopback, r.host
	case !a.Is4() || network.Contains(a) || contains(never, a) || contains(r.deny, a):
		return a, false
	case linkLocal.Contains(a) && !slices.ContainsFunc(r.allow, func(p netip.Prefix) bool {
		return p.Contains(a) && p.Bits() >= linkLocal.Bits()
	}):
		return a, false
	case len(r.allow) > 0 && !contains(r.allow, a):
		return a, false
	}
	switch r.route(a) {
	case routeUnicast:
		return a, true
	case routeLocal:
		return a, r.host
	}
	return a, false
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// parseNetworks reads entries of Config.Allow or Config.Deny.
func parseNetworks(field string, list []string) (out []netip.Prefix, err error) {
	for _, s := range list {
		p, err := vnet.ParseNetwork(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field, err)
		}
		out = append(out, netip.PrefixFrom(netip.AddrFrom4(p.Addr), p.Bits))
	}
	return out, nil
}
