package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Ports of the peer behind vsock, as guest/bench is told them.
const (
	portSink   = 5000
	portSource = 5001
	portEcho   = 5002
)

// peer is who a guest's connections through vsock come to: a Unix socket a
// port, named as Firecracker's protocol has it.
type peer struct{ listeners []net.Listener }

func newPeer(socket string) (*peer, error) {
	p := &peer{}
	for port, serve := range map[int]func(net.Conn){portSink: sink, portSource: source, portEcho: echo} {
		l, err := net.Listen("unix", fmt.Sprintf("%s_%d", socket, port))
		if err != nil {
			p.close()
			return nil, err
		}
		p.listeners = append(p.listeners, l)
		go func() {
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
		}()
	}
	return p, nil
}

func (p *peer) close() {
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
