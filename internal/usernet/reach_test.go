package usernet

import (
	"net/netip"
	"testing"
)

func TestReach(t *testing.T) {
	routes := map[string]routeType{"192.0.2.7": routeLocal, "169.254.0.5": routeLocal, "198.51.100.255": 3 /* broadcast */, "198.51.100.1": routeNone}
	route := func(a netip.Addr) routeType {
		if r, ok := routes[a.String()]; ok {
			return r
		}
		return routeUnicast
	}
	for _, tc := range []struct {
		host        bool
		allow, deny []string
		to          string
		want        string // "" is refused
	}{
		{to: "203.0.113.1", want: "203.0.113.1"},
		{to: "10.1.2.3", want: "10.1.2.3"},
		{to: "192.0.2.7"},                                  // the host
		{to: "192.0.2.7", host: true, want: "192.0.2.7"},   // where it is asked for
		{to: "192.0.2.7", allow: []string{"192.0.2.0/24"}}, // and by nothing else
		{to: Host}, //
		{to: Host, host: true, want: "127.0.0.1"},           //
		{to: Gateway, host: true},                           //
		{to: "192.168.127.77", host: true},                  //
		{to: "127.0.0.1", host: true},                       //
		{to: "127.0.0.53", allow: []string{"127.0.0.0/8"}},  //
		{to: "0.0.0.0", host: true},                         //
		{to: "0.1.2.3", host: true},                         //
		{to: "224.0.0.251", allow: []string{"224.0.0.0/4"}}, //
		{to: "255.255.255.255", host: true},                 //
		{to: "240.0.0.1"},                                   //
		{to: "198.51.100.255", host: true},                  //
		{to: "198.51.100.1", host: true},                    // no route
		{to: "169.254.169.254"},
		{to: "169.254.169.254", host: true},
		{to: "169.254.169.254", allow: []string{"0.0.0.0/0"}},
		{to: "169.254.169.254", allow: []string{"169.254.169.254/32"}, want: "169.254.169.254"},
		{to: "169.254.169.254", allow: []string{"169.254.0.0/16"}, deny: []string{"169.254.169.254"}},
		{to: "169.254.0.5", allow: []string{"169.254.0.0/16"}},
		{to: "10.1.2.3", allow: []string{"10.1.0.0/16"}, want: "10.1.2.3"},
		{to: "10.2.2.3", allow: []string{"10.1.0.0/16"}},
		{to: "10.1.2.3", allow: []string{"10.1.0.0/16"}, deny: []string{"10.0.0.0/8"}},
		{to: "10.2.2.3", allow: []string{"10.1.0.0/16", "10.2.2.3"}, want: "10.2.2.3"},
		{to: "10.2.2.3", deny: []string{"10.0.0.0/8"}},
		{to: "11.2.2.3", deny: []string{"10.0.0.0/8"}, want: "11.2.2.3"},
	} {
		allow, err := parseNetworks("allow", tc.allow)
		if err != nil {
			t.Fatal(err)
		}
		deny, err := parseNetworks("deny", tc.deny)
		if err != nil {
			t.Fatal(err)
		}
		r := reach{host: tc.host, allow: allow, deny: deny, route: route}
		got, ok := r.outside(netip.MustParseAddr(tc.to))
		switch {
		case tc.want == "" && ok:
			t.Errorf("%+v: reached as %v", tc, got)
		case tc.want != "" && (!ok || got.String() != tc.want):
			t.Errorf("%+v: %v, %v", tc, got, ok)
		}
	}
}

// TestShares: a peer gets no more than is left for others.
func TestShares(t *testing.T) {
	s := newShares(100)
	peer := func(i byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, i}) }
	take := func(i byte) (n int) {
		for s.take(peer(i)) {
			n++
		}
		return n
	}
	first, second, third := take(1), take(2), take(3)
	if first != 50 || second != 25 || third < 12 || third > 13 {
		t.Errorf("%d, %d, %d", first, second, third)
	}
	for range first {
		s.put(peer(1))
	}
	if n := take(4); n < 25 {
		t.Errorf("%d after others were given back", n)
	}
	if len(s.by) != 3 {
		t.Errorf("%d peers are remembered", len(s.by))
	}
}

func TestHostRoutes(t *testing.T) {
	h := newHostRoutes()
	defer h.close()
	if got := h.lookup(netip.MustParseAddr("127.0.0.1")); got != routeLocal {
		t.Errorf("127.0.0.1: %d", got)
	}
	h.close()
	// Without the tables the interfaces' addresses decide.
	if got := h.lookup(netip.MustParseAddr("127.0.0.1")); got != routeLocal {
		t.Errorf("127.0.0.1: %d", got)
	}
	if got := h.lookup(netip.MustParseAddr("203.0.113.1")); got != routeUnicast {
		t.Errorf("203.0.113.1: %d", got)
	}
	if got := broadcast(netip.MustParsePrefix("10.1.2.3/22")).String(); got != "10.1.3.255" {
		t.Error(got)
	}
}
