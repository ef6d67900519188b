package usernet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/miekg/dns"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// nameServer passes questions on to the host's resolvers.
type nameServer struct {
	conf  *resolvConf
	names map[string]net.IP // of localZone
	slots chan struct{}     // one for each question under way
}

// maxNameStreams is how many TCP connections the machine has to the name server.
const maxNameStreams = 32

// nameStreamBuffer is what such a connection keeps in each direction, in bytes. It is
// not of the pool: the machine cannot take all of that by questions.
const nameStreamBuffer = 16 << 10

// nameStreamIdle ends a TCP connection on which nothing is asked.
const nameStreamIdle = 10 * time.Second

func (n *Network) serveDNS(s *nameServer) error {
	at := tcpip.FullAddress{NIC: 1, Addr: addr(Gateway), Port: 53}
	datagrams, err := gonet.DialUDP(n.stack, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	n.closers = append(n.closers, datagrams)
	listener := endpoint{queue: new(waiter.Queue)}
	var terr tcpip.Error
	if listener.Endpoint, terr = n.stack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, listener.queue); terr != nil {
		return errors.New(terr.String())
	}
	// Accepted connections inherit that.
	listener.SocketOptions().SetReceiveBufferSize(nameStreamBuffer, false)
	if terr = listener.Bind(at); terr == nil {
		terr = listener.Listen(maxNameStreams)
	}
	if terr != nil {
		listener.Close()
		return errors.New(terr.String())
	}
	go s.serveDatagrams(n.ctx, datagrams)
	go s.serveStreams(n.ctx, listener)
	return nil
}

func (s *nameServer) serveDatagrams(ctx context.Context, conn *gonet.UDPConn) {
	buf := make([]byte, datagramSize)
	for ctx.Err() == nil {
		size, from, err := conn.ReadFrom(buf)
		if err != nil {
			pause(ctx, 10*time.Millisecond)
			continue
		}
		query := buf[:size]
		select {
		case s.slots <- struct{}{}:
			query = bytes.Clone(query)
			go func() {
				defer func() { <-s.slots }()
				if a := s.answer(ctx, "udp", query); a != nil {
					_, _ = conn.WriteTo(a, from)
				}
			}()
		default:
			if a := busy(query); a != nil {
				_, _ = conn.WriteTo(a, from)
			}
		}
	}
}

// busy answers a question for which there is no room.
func busy(query []byte) []byte {
	q, rcode, drop := parseQuestion(query)
	if drop {
		return nil
	}
	if rcode == dns.RcodeSuccess {
		rcode = dns.RcodeServerFailure
	}
	return q.fail(rcode)
}

func (s *nameServer) serveStreams(ctx context.Context, listener endpoint) {
	defer listener.Close()
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents)
	listener.queue.EventRegister(&entry)
	defer listener.queue.EventUnregister(&entry)
	slots := make(chan struct{}, maxNameStreams)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		ep, queue, err := listener.Accept(nil)
		if err != nil {
			<-slots
			select {
			case <-ready:
				continue
			case <-ctx.Done():
				return
			}
		}
		go func() {
			defer func() { <-slots }()
			s.serveStream(ctx, endpoint{ep, queue})
		}()
	}
}

// serveStream answers the questions of one connection, one after the other.
func (s *nameServer) serveStream(ctx context.Context, guest endpoint) {
	defer guest.Abort()
	guest.SocketOptions().SetSendBufferSize(nameStreamBuffer, true)
	c := gonet.NewTCPConn(guest.queue, guest.Endpoint)
	for ctx.Err() == nil {
		_ = c.SetDeadline(time.Now().Add(nameStreamIdle))
		query, err := readMessage(c)
		if err != nil { // the machine has finished, or is idle: it gets what it has asked for
			_ = c.CloseWrite()
			late, stop := context.WithTimeout(ctx, nameStreamIdle)
			defer stop()
			awaitSent(late, guest)
			return
		}
		var a []byte
		select {
		case s.slots <- struct{}{}:
			a = s.answer(ctx, "tcp", query)
			<-s.slots
		default:
			a = busy(query)
		}
		_ = c.SetDeadline(time.Now().Add(nameStreamIdle))
		if a == nil || writeMessage(c, a) != nil {
			return
		}
	}
}

// On TCP each message follows its length (RFC 1035, section 4.2.2).
func readMessage(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	m := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, m)
	return m, err
}

func writeMessage(w io.Writer, m []byte) error {
	if len(m) > dns.MaxMsgSize {
		return errors.New("message of more than 64 KiB")
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
	return err
}

// answer is the answer to a query that came by TCP or UDP; nil: there is none.
func (s *nameServer) answer(ctx context.Context, network string, query []byte) []byte {
	q, rcode, drop := parseQuestion(query)
	switch {
	case drop:
		return nil
	case rcode != dns.RcodeSuccess:
		return q.fail(rcode)
	}
	if a := q.local(s.names); a != nil {
		return a
	}
	conf := s.conf.get()
	ctx, stop := context.WithTimeout(ctx, queryTimeout)
	defer stop()
	var refused []byte // what a server said that cannot answer
	for range conf.tries {
		for _, server := range conf.servers {
			a, err := q.ask(ctx, network, server, conf.timeout)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				continue
			case unhelpful(a):
				refused = a
				continue
			default:
				return a
			}
		}
	}
	if refused != nil {
		return refused
	}
	return q.fail(dns.RcodeServerFailure)
}

// unhelpful reports whether another server may know more.
func unhelpful(m []byte) bool {
	switch m[3] & 0xf {
	case dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeNotImplemented:
		return true
	}
	return false
}

// ask sends a query as it is to one server, and returns the answer as it is. Only the
// identifier is another on the way: the machine's may be guessed.
func (q *question) ask(ctx context.Context, network, server string, limit time.Duration) ([]byte, error) {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	var d net.Dialer
	c, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if t, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(t)
	}
	end := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer end()
	id := uint16(rand.Uint32())
	query := bytes.Clone(q.raw)
	binary.BigEndian.PutUint16(query, id)
	a, err := q.exchange(c, query, id)
	if err != nil {
		return nil, err
	}
	copy(a[:2], q.raw)
	return a, nil
}

// exchange sends a query and waits for its answer.
func (q *question) exchange(c net.Conn, query []byte, id uint16) ([]byte, error) {
	if tcp, ok := c.(*net.TCPConn); ok {
		if err := writeMessage(tcp, query); err != nil {
			return nil, err
		}
		a, err := readMessage(tcp)
		if err == nil && !q.answers(a, id) {
			err = errors.New("the resolver answered another question")
		}
		return a, err
	}
	udp := c.(*net.UDPConn)
	if _, err := udp.Write(query); err != nil {
		return nil, err
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil, err
	}
	for {
		var a []byte
		if err := receiveDatagram(raw, func(p []byte) {
			if q.answers(p, id) {
				a = bytes.Clone(p)
			}
		}); err != nil {
			return nil, err
		}
		if a != nil {
			return a, nil
		}
	}
}
