package usernet

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestResolvConf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	c := &resolvConf{path: path}
	for _, tc := range []struct {
		text    string
		servers []string
		search  []string
		timeout time.Duration
		tries   int
	}{
		{"", []string{"127.0.0.1:53"}, nil, 5 * time.Second, 2},
		{"nameserver 127.0.0.53\n", []string{"127.0.0.53:53"}, nil, 5 * time.Second, 2},
		{"nameserver 192.0.2.1\nnameserver fd00::1\nsearch a.example b.example\noptions timeout:3 attempts:4\n",
			[]string{"192.0.2.1:53", "[fd00::1]:53"}, []string{"a.example", "b.example"}, 3 * time.Second, 4},
		{"nameserver 127.0.0.53\nsearch .\n", []string{"127.0.0.53:53"}, nil, 5 * time.Second, 2},
		{"nameserver 127.0.0.53\nsearch a.example. b..example\n", []string{"127.0.0.53:53"}, []string{"a.example"}, 5 * time.Second, 2},
		{"nameserver no-address\noptions timeout:100000 attempts:1000000\n", []string{"127.0.0.1:53"}, nil, 10 * time.Second, 5},
	} {
		// Another file, as the programs that write it do: a new one renamed over it.
		if err := os.WriteFile(path+".new", []byte(tc.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		c.checked = time.Time{} // a second has passed
		r := c.get()
		if !reflect.DeepEqual(r.servers, tc.servers) || len(r.search)+len(tc.search) > 0 && !reflect.DeepEqual(r.search, tc.search) || r.timeout != tc.timeout || r.tries != tc.tries {
			t.Errorf("%q: %+v", tc.text, r)
		}
	}
	os.Remove(path)
	c.checked = time.Time{}
	if r := c.get(); len(r.servers) != 1 || r.servers[0] != "127.0.0.1:53" {
		t.Errorf("without a file: %+v", r)
	}
}

// FuzzNameServer: a query of any shape, and an answer of any shape.
func FuzzNameServer(f *testing.F) {
	for _, name := range []string{"example.org.", RouterName + ".", "."} {
		m := new(dns.Msg)
		m.SetQuestion(name, dns.TypeA)
		m.SetEdns0(1232, true)
		q, _ := m.Pack()
		m.Response = true
		a, _ := m.Pack()
		f.Add(q, a)
		f.Add(q[:12], a[:12])
	}
	f.Add([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1}, []byte{})
	s := &nameServer{
		conf:  &resolvConf{checked: time.Now().Add(time.Hour), current: resolvers{tries: 1}}, // nobody to ask
		names: map[string]net.IP{RouterName + ".": net.ParseIP(Gateway)},
	}
	f.Fuzz(func(t *testing.T, query, answer []byte) {
		a := s.answer(context.Background(), "udp", query)
		if b := busy(query); b != nil && (len(b) < dnsHeader || b[2]&dnsResponse == 0) {
			t.Errorf("%x: %x", query, b)
		}
		q, rcode, drop := parseQuestion(query)
		if drop != (a == nil) {
			t.Errorf("%x: %x", query, a)
		}
		if a != nil && (len(a) < dnsHeader || a[0] != query[0] || a[1] != query[1] || a[2]&dnsResponse == 0) {
			t.Errorf("%x: %x", query, a)
		}
		if !drop && rcode == dns.RcodeSuccess && len(answer) >= 2 {
			q.answers(answer, uint16(answer[0])<<8|uint16(answer[1]))
		}
	})
}

// FuzzDHCP: a message of any shape.
func FuzzDHCP(f *testing.F) {
	f.Add([]byte{1, 1, 6, 0})
	discover := make([]byte, 300)
	discover[0], discover[1], discover[2] = 1, 1, 6
	copy(discover[236:], []byte{99, 130, 83, 99, 53, 1, 1, 255})
	f.Add(discover)
	f.Fuzz(func(t *testing.T, m []byte) {
		s := &dhcpServer{mtu: DefaultMTU, leases: map[string]net.IP{}, search: func() []string { return []string{"example.org"} }}
		_ = s.answer(m)
	})
}
