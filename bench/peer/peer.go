// Package peer is the other end of the connections that benchmarks measure.
package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Ports of the peer, over TCP and vsock alike.
const (
	Sink   = 5000 // takes all
	Source = 5001 // sends without end
	Echo   = 5002 // sends back
)

// Peer is who a guest's connections come to.
type Peer struct{ listeners []net.Listener }

// Unix serves connections through vsock: a Unix socket a port, named as
// Firecracker's protocol has it.
func Unix(socket string) (*Peer, error) {
	return listen("unix", func(port int) string { return fmt.Sprintf("%s_%d", socket, port) })
}

// TCP serves connections to an address of this computer.
func TCP(ip string) (*Peer, error) {
	return listen("tcp", func(port int) string { return fmt.Sprintf("%s:%d", ip, port) })
}

func listen(network string, addr func(port int) string) (*Peer, error) {
	p := &Peer{}
	for port, serve := range map[int]func(net.Conn){Sink: sink, Source: source, Echo: echo} {
		l, err := net.Listen(network, addr(port))
		if err != nil {
			p.Close()
			return nil, err
		}
		p.listeners = append(p.listeners, l)
		go accept(l, serve)
	}
	return p, nil
}

func accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			serve(c)
			c.Close()
		}()
	}
}

// Close ends listening; connections end with their other ends.
func (p *Peer) Close() {
	for _, l := range p.listeners {
		l.Close()
	}
}

func sink(c net.Conn) {
	buf := make([]byte, 256<<10)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// source sends 8-byte words that count up and begin again with each 64 KiB.
func source(c net.Conn) {
	buf := make([]byte, 256<<10)
	for i := range len(buf) / 8 {
		binary.LittleEndian.PutUint64(buf[8*i:], uint64(i%8192))
	}
	for {
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

func echo(c net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil && !errors.Is(err, io.ErrShortBuffer) {
			return
		}
	}
}
