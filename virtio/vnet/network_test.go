package vnet_test

import (
	"net/netip"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

func TestParseNetwork(t *testing.T) {
	for s, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "0.0.0.0/0": "0.0.0.0/0", "1.2.3.4": "1.2.3.4/32", "255.255.255.254/31": "255.255.255.254/31",
		"": "", "/8": "", "10.0.0.0/": "", "10.0.0.0/33": "", "10.0.0.0/08": "", "10.0.0.0/+8": "", "10.0.0/8": "", "010.0.0.0/8": "", "10.0.0.0.0": "",
		"256.0.0.0": "", "10.0.0.1/8": "", "::/0": "", "a.b.c.d": "", "1.2.3.4/32/1": "",
	} {
		n, err := vnet.ParseNetwork(s)
		if (err == nil) != (want != "") || err == nil && n.String() != want {
			t.Errorf("%q: %v, %v", s, n, err)
		}
	}
}

// FuzzParseNetwork: what is taken is what net/netip takes, too.
func FuzzParseNetwork(f *testing.F) {
	f.Add("10.0.0.0/8")
	f.Add("1.2.3.4")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := vnet.ParseNetwork(s)
		p, perr := netip.ParsePrefix(s)
		if a, aerr := netip.ParseAddr(s); aerr == nil {
			p, perr = netip.PrefixFrom(a, a.BitLen()), nil
		}
		want := perr == nil && p.Addr().Is4() && p == p.Masked()
		if (err == nil) != want || want && n.String() != p.String() {
			t.Errorf("%q: %v, %v; net/netip: %v, %v", s, n, err, p, perr)
		}
	})
}

// FuzzParseForward: what is taken is written as it is read.
func FuzzParseForward(f *testing.F) {
	f.Add("udp:[::1]:53:53")
	f.Add("127.0.0.1:8080:80")
	f.Fuzz(func(t *testing.T, s string) {
		one, err := vnet.ParseForward(s)
		if err != nil {
			return
		}
		if back, err := vnet.ParseForward(one.String()); err != nil || back != one {
			t.Errorf("%q: %+v, %q: %+v, %v", s, one, one.String(), back, err)
		}
		if !one.Overlaps(one) {
			t.Errorf("%q does not overlap itself", s)
		}
	})
}
