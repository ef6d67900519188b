package usernet

import (
	"bytes"
	"encoding/binary"
	"net"

	"github.com/miekg/dns"
)

// question is the part of a query that the router itself reads. All else goes to
// the host's resolver as it came.
type question struct {
	raw   []byte // the query
	end   int    // of the question section in it
	name  string
	kind  uint16
	class uint16
}

const dnsHeader = 12

// Bits of a message's third and fourth byte (RFC 1035, section 4.1.1).
const (
	dnsResponse  = 0x80 // in the third byte
	dnsOpcode    = 0x78
	dnsRecursion = 0x01 // desired
	dnsAvailable = 0x80 // recursion, in the fourth byte
)

// parseQuestion reads a query. With an rcode other than success the query is
// answered by it; with drop it is not answered at all.
func parseQuestion(raw []byte) (q question, rcode int, drop bool) {
	q.raw, q.end = raw, dnsHeader
	if len(raw) < dnsHeader || raw[2]&dnsResponse != 0 {
		return q, 0, true
	}
	if raw[2]&dnsOpcode != dns.OpcodeQuery {
		return q, dns.RcodeNotImplemented, false
	}
	if binary.BigEndian.Uint16(raw[4:]) != 1 {
		return q, dns.RcodeFormatError, false
	}
	name, off, err := dns.UnpackDomainName(raw, dnsHeader)
	if err != nil || off+4 > len(raw) {
		return q, dns.RcodeFormatError, false
	}
	q.name, q.end = name, off+4
	q.kind, q.class = binary.BigEndian.Uint16(raw[off:]), binary.BigEndian.Uint16(raw[off+2:])
	return q, dns.RcodeSuccess, false
}

// fail is an answer without records.
func (q *question) fail(rcode int) []byte {
	a := bytes.Clone(q.raw[:q.end])
	a[2] = a[2]&(dnsOpcode|dnsRecursion) | dnsResponse
	a[3] = dnsAvailable | byte(rcode)
	clear(a[4:dnsHeader])
	if q.end > dnsHeader {
		a[5] = 1 // question
	}
	return a
}

// answers reports whether a message is the answer to the query, sent with this
// identifier.
func (q *question) answers(m []byte, id uint16) bool {
	if len(m) < dnsHeader || m[2]&dnsResponse == 0 || binary.BigEndian.Uint16(m) != id {
		return false
	}
	if binary.BigEndian.Uint16(m[4:]) == 0 { // some servers leave the question out of an error
		return m[3]&0xf != dns.RcodeSuccess
	}
	if binary.BigEndian.Uint16(m[4:]) != 1 || len(m) < q.end {
		return false
	}
	name := q.end - 4
	return bytes.Equal(m[name:q.end], q.raw[name:q.end]) && equalFold(m[dnsHeader:name], q.raw[dnsHeader:name])
}

// equalFold compares names in their wire format: only ASCII letters have cases.
func equalFold(a, b []byte) bool {
	lower := func(c byte) byte {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		return c
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

// localZone holds the names of the network itself; nothing of it is asked elsewhere.
const localZone = "mayfly.internal."

// localTTL is that of the router's own answers, in seconds.
const localTTL = 60

// local answers for the router's own zone; nil: the name is not in it.
func (q *question) local(names map[string]net.IP) []byte {
	name := dns.CanonicalName(q.name)
	if !dns.IsSubDomain(localZone, name) {
		return nil
	}
	m := new(dns.Msg)
	if m.Unpack(q.raw) != nil {
		return q.fail(dns.RcodeFormatError)
	}
	opt := m.IsEdns0()
	m.SetReply(m.Copy())
	m.Answer, m.Ns, m.Extra = nil, nil, nil
	m.Authoritative, m.RecursionAvailable = true, true
	ip, known := names[name]
	if known && q.class == dns.ClassINET && (q.kind == dns.TypeA || q.kind == dns.TypeANY) {
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: localTTL}, A: ip}}
	} else {
		if !known && name != localZone {
			m.Rcode = dns.RcodeNameError
		}
		// It has for how long the answer may be cached (RFC 2308).
		m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: localZone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: localTTL},
			Ns: RouterName + ".", Mbox: "root." + localZone, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: localTTL}}
	}
	if opt != nil {
		m.SetEdns0(dns.DefaultMsgSize, false)
	}
	p, err := m.Pack()
	if err != nil {
		return q.fail(dns.RcodeServerFailure)
	}
	return p
}
