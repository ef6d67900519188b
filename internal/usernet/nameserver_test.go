package usernet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/miekg/dns"

	"github.com/mayfly-vm/mayfly/internal/usernet"
)

// upstream is a resolver of the host's, by UDP and TCP. answer returns the answer's
// bytes, nil for none; questions are counted.
type upstream struct {
	at    string
	asked atomic.Int32
}

func startUpstream(t *testing.T, answer func(network string, query []byte) []byte) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{at: l.Addr().String()}
	p, err := net.ListenPacket("udp", u.at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); p.Close() })
	go serveEach(l, func(c net.Conn) {
		var size [2]byte
		for {
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			q := make([]byte, binary.BigEndian.Uint16(size[:]))
			io.ReadFull(c, q)
			u.asked.Add(1)
			if a := answer("tcp", q); a != nil {
				c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
			}
		}
	})
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			u.asked.Add(1)
			if a := answer("udp", bytes.Clone(b[:n])); a != nil {
				p.WriteTo(a, from)
			}
		}
	}()
	return u
}

// reply makes an answer with these records.
func reply(query []byte, change func(*dns.Msg), records ...string) []byte {
	q, m := new(dns.Msg), new(dns.Msg)
	if err := q.Unpack(query); err != nil {
		return nil
	}
	m.SetReply(q)
	m.RecursionAvailable = true
	for _, r := range records {
		rr, err := dns.NewRR(r)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	if change != nil {
		change(m)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// query asks the router by UDP.
func (g *guest) query(m *dns.Msg) *dns.Msg {
	g.t.Helper()
	p, err := m.Pack()
	if err != nil {
		g.t.Fatal(err)
	}
	b, err := g.ask(usernet.Gateway, 53, p, 30*time.Second)
	if err != nil {
		g.t.Fatal(err)
	}
	a := new(dns.Msg)
	if err := a.Unpack(b); err != nil {
		g.t.Fatal(err)
	}
	if a.Id != m.Id || !a.Response {
		g.t.Errorf("%v", a)
	}
	return a
}

func asking(name string, kind uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	return m
}

// TestQuestionsAsTheyAre: what goes to the resolver and what comes back is what was
// sent, but for the identifier.
func TestQuestionsAsTheyAre(t *testing.T) {
	var got []byte
	var sent []byte
	up := startUpstream(t, func(_ string, q []byte) []byte {
		got = q
		sent = reply(q, func(m *dns.Msg) {
			m.SetEdns0(1400, true)
			m.AuthenticatedData = true
			m.Ns = append(m.Ns, &dns.NS{Hdr: dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 77}, Ns: "ns.example.org."})
		}, "eXample.org. 1234 IN TYPE65280 \\# 4 0a000001", "eXample.org. 99 IN HTTPS 1 . alpn=h2")
		return sent
	})
	g := start(t, usernet.Config{}.WithResolvers(5*time.Second, up.at))
	m := asking("eXample.org.", dns.TypeHTTPS)
	m.SetEdns0(4096, true)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte("mayfly")})
	m.CheckingDisabled = true
	q, _ := m.Pack()
	a, err := g.ask(usernet.Gateway, 53, q, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[2:], q[2:]) {
		t.Errorf("the resolver was asked\n%x, not\n%x", got, q)
	}
	if !bytes.Equal(a[2:], sent[2:]) || !bytes.Equal(a[:2], q[:2]) {
		t.Errorf("the answer is\n%x, not\n%x", a, sent)
	}
}

// TestFailures: a failure is one, not a name without an address.
func TestFailures(t *testing.T) {
	silent := startUpstream(t, func(string, []byte) []byte { return nil })
	failing := startUpstream(t, func(_ string, q []byte) []byte {
		return reply(q, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })
	})
	missing := startUpstream(t, func(_ string, q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }) })
	good := startUpstream(t, func(_ string, q []byte) []byte { return reply(q, nil, "example.org. 1234 IN A 192.0.2.1") })
	other := startUpstream(t, func(_ string, q []byte) []byte { // to another question than was asked
		m := new(dns.Msg)
		m.Unpack(q)
		m.SetQuestion("example.net.", dns.TypeA)
		m.Response = true
		b, _ := m.Pack()
		copy(b, q[:2])
		return b
	})
	const nobody = "127.0.0.1:1"
	for _, tc := range []struct {
		servers []string
		rcode   int
		ttl     uint32
	}{
		{[]string{good.at}, dns.RcodeSuccess, 1234},
		{[]string{silent.at, good.at}, dns.RcodeSuccess, 1234},
		{[]string{failing.at, good.at}, dns.RcodeSuccess, 1234},
		{[]string{nobody, good.at}, dns.RcodeSuccess, 1234},
		{[]string{other.at, good.at}, dns.RcodeSuccess, 1234},
		{[]string{missing.at, good.at}, dns.RcodeNameError, 0},
		{[]string{failing.at}, dns.RcodeServerFailure, 0},
		{[]string{silent.at}, dns.RcodeServerFailure, 0},
		{[]string{nobody}, dns.RcodeServerFailure, 0},
		{[]string{other.at}, dns.RcodeServerFailure, 0},
	} {
		g := start(t, usernet.Config{}.WithResolvers(500*time.Millisecond, tc.servers...))
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCAA} {
			a := g.query(asking("example.org.", kind))
			if a.Rcode != tc.rcode || len(a.Question) != 1 || a.Question[0].Qtype != kind {
				t.Errorf("%v: %v", tc, a)
			}
			if tc.ttl != 0 && (len(a.Answer) != 1 || a.Answer[0].Header().Ttl != tc.ttl) {
				t.Errorf("%v: %v", tc, a)
			}
		}
	}
}

// TestTruncated: an answer that is too long for UDP says so, and is got by TCP.
func TestTruncated(t *testing.T) {
	up := startUpstream(t, func(network string, q []byte) []byte {
		if network == "udp" {
			return reply(q, func(m *dns.Msg) { m.Truncated = true })
		}
		var records []string
		for i := range 200 {
			records = append(records, fmt.Sprintf("example.org. 60 IN TXT \"%d %s\"", i, strings.Repeat("x", 200)))
		}
		return reply(q, nil, records...)
	})
	g := start(t, usernet.Config{}.WithResolvers(5*time.Second, up.at))
	m := asking("example.org.", dns.TypeTXT)
	if a := g.query(m); !a.Truncated {
		t.Errorf("%v", a)
	}
	c, err := g.dial(usernet.Gateway, 53)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	conn := &dns.Conn{Conn: c}
	for range 3 { // one connection serves several questions
		if err := conn.WriteMsg(m); err != nil {
			t.Fatal(err)
		}
		a, err := conn.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Answer) != 200 || a.Id != m.Id {
			t.Errorf("%d records, %x", len(a.Answer), a.Id)
		}
	}
}

// TestOwnNames: the router's own zone is answered by it alone, in any case of letters.
func TestOwnNames(t *testing.T) {
	up := startUpstream(t, func(_ string, q []byte) []byte { return reply(q, nil) })
	for _, host := range []bool{false, true} {
		g := start(t, usernet.Config{Host: host}.WithResolvers(5*time.Second, up.at))
		for _, tc := range []struct {
			name  string
			kind  uint16
			rcode int
			want  string
		}{
			{usernet.RouterName, dns.TypeA, dns.RcodeSuccess, usernet.Gateway},
			{"RoUTer.mayFLY.internal", dns.TypeA, dns.RcodeSuccess, usernet.Gateway},
			{usernet.RouterName, dns.TypeAAAA, dns.RcodeSuccess, ""},
			{"HOST.Mayfly.Internal", dns.TypeA, map[bool]int{true: dns.RcodeSuccess, false: dns.RcodeNameError}[host], map[bool]string{true: usernet.Host}[host]},
			{"other.mayfly.internal", dns.TypeA, dns.RcodeNameError, ""},
			{"mayfly.internal", dns.TypeA, dns.RcodeSuccess, ""},
		} {
			m := asking(tc.name+".", tc.kind)
			m.SetEdns0(1232, false)
			a := g.query(m)
			got := ""
			if len(a.Answer) == 1 {
				got = a.Answer[0].(*dns.A).A.String()
				if h := a.Answer[0].Header(); h.Ttl == 0 || h.Name != tc.name+"." {
					t.Errorf("%v", a)
				}
			}
			if a.Rcode != tc.rcode || got != tc.want || a.IsEdns0() == nil {
				t.Errorf("host=%v, %s %d: %v", host, tc.name, tc.kind, a)
			}
		}
	}
	if n := up.asked.Load(); n != 0 {
		t.Errorf("%d questions went out", n)
	}
}

// TestQueriesOfAnyShape: what is no question is refused or dropped, and the next one is
// answered.
func TestQueriesOfAnyShape(t *testing.T) {
	up := startUpstream(t, func(_ string, q []byte) []byte { return reply(q, nil, "example.org. 60 IN A 192.0.2.1") })
	g := start(t, usernet.Config{}.WithResolvers(5*time.Second, up.at))
	good, _ := asking("example.org.", dns.TypeA).Pack()
	two := bytes.Clone(good)
	two[5] = 2
	notify := bytes.Clone(good)
	notify[2] |= dns.OpcodeNotify << 3
	loop := append(bytes.Clone(good[:12]), 0xc0, 12, 0, 1, 0, 1)
	for _, tc := range []struct {
		query []byte
		rcode int // -1: no answer
	}{
		{nil, -1}, {good[:11], -1}, {append([]byte{1, 2, 0x80}, good[3:]...), -1},
		{good[:12], dns.RcodeFormatError}, {good[:len(good)-1], dns.RcodeFormatError},
		{two, dns.RcodeFormatError}, {loop, dns.RcodeFormatError}, {notify, dns.RcodeNotImplemented},
		{good, dns.RcodeSuccess},
	} {
		d := 30 * time.Second
		if tc.rcode < 0 {
			d = 200 * time.Millisecond
		}
		a, err := g.ask(usernet.Gateway, 53, tc.query, d)
		switch {
		case tc.rcode < 0 && err == nil:
			t.Errorf("%x: %x", tc.query, a)
		case tc.rcode >= 0 && (err != nil || int(a[3]&0xf) != tc.rcode || !bytes.Equal(a[:2], tc.query[:2]) || a[2]&0x80 == 0):
			t.Errorf("%x: %x, %v", tc.query, a, err)
		}
	}
}

// TestDHCP: the machine learns the router, the name server and the search domains.
func TestDHCP(t *testing.T) {
	for _, isolated := range []bool{false, true} {
		n, err := usernet.New(usernet.Config{Isolated: isolated}.WithResolvers(time.Second, "127.0.0.1:1"))
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go n.Serve(context.Background(), far)
		t.Cleanup(func() { near.Close(); n.Close() })
		mac, _ := net.ParseMAC(guestMAC)
		discover, err := dhcpv4.NewDiscovery(mac)
		if err != nil {
			t.Fatal(err)
		}
		f := dhcpFrame(discover)
		near.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := near.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...)); err != nil {
			t.Fatal(err)
		}
		var offer *dhcpv4.DHCPv4
		for offer == nil {
			f, err := readFrame(near)
			if err != nil {
				t.Fatal(err)
			}
			if len(f) > 42 && binary.BigEndian.Uint16(f[36:]) == 68 {
				offer, _ = dhcpv4.FromBytes(f[42:])
			}
		}
		if offer.YourIPAddr.String() != usernet.Guest || offer.MessageType() != dhcpv4.MessageTypeOffer || offer.Router()[0].String() != usernet.Gateway {
			t.Errorf("%v", offer.Summary())
		}
		search := offer.DomainSearch()
		if isolated {
			if len(offer.DNS()) != 0 || search != nil {
				t.Errorf("isolated, but there is a name server: %v", offer.Summary())
			}
			continue
		}
		if len(offer.DNS()) != 1 || offer.DNS()[0].String() != usernet.Gateway {
			t.Errorf("%v", offer.DNS())
		}
		if search == nil || strings.Join(search.Labels, " ") != "example.org lab.example.org" || offer.DomainName() != "example.org" {
			t.Errorf("%v, %q", search, offer.DomainName())
		}
	}
}
