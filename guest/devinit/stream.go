package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
)

// stream is one end of a connection.
type stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// dial connects over net=tcp (addr=HOST:PORT) or net=vsock (addr=CID:PORT), or
// opens net=file (addr=PATH), and carries data as "mode" says; see carry.
func dial(_ context.Context, a args) (values, error) {
	var c stream
	var err error
	switch a["net"] {
	case "tcp":
		var d net.Conn
		if d, err = net.Dial("tcp", a["addr"]); err == nil {
			c = d.(*net.TCPConn)
		}
	case "vsock":
		c, err = dialVsock(a["addr"])
	case "file":
		c, err = openFile(a["addr"])
	default:
		err = fmt.Errorf("net=%s", a["net"])
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return carry(c, a)
}

// serve is the other side: it accepts one connection at port (of all addresses)
// and carries data. It says "serving PORT" when it listens.
func serve(_ context.Context, a args) (values, error) {
	n, err := a.number("port", 0)
	if err != nil {
		return nil, err
	}
	var c stream
	switch a["net"] {
	case "tcp":
		l, err := net.Listen("tcp", ":"+strconv.FormatUint(n, 10))
		if err != nil {
			return nil, err
		}
		defer l.Close()
		say(fmt.Sprintf("serving %d\n", n))
		d, err := l.Accept()
		if err != nil {
			return nil, err
		}
		c = d.(*net.TCPConn)
	case "vsock":
		if c, err = serveVsock(uint32(n)); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("net=%s", a["net"])
	}
	defer c.Close()
	return carry(c, a)
}

// carry moves data:
//
//	source  sends len bytes of seed's pattern, then closes its half
//	sink    reads to the end and compares with the pattern
//	both    does both at the same time; what comes has seed+1
//	echo    sends back what comes, up to the end
//
// The answer has the number of bytes that came and their SHA-256.
func carry(c stream, a args) (values, error) {
	s, err := a.span()
	if err != nil {
		return nil, err
	}
	switch mode := a["mode"]; mode {
	case "source":
		return nil, s.send(c)
	case "sink":
		return s.receive(c, s.seed)
	case "both":
		var sent error
		var w sync.WaitGroup
		w.Go(func() { sent = s.send(c) })
		v, err := s.receive(c, s.seed+1)
		w.Wait()
		if err == nil {
			err = sent
		}
		return v, err
	case "echo":
		n, err := io.Copy(c, onlyReader{c})
		if err == nil {
			err = c.CloseWrite()
		}
		return values{"bytes": strconv.FormatInt(n, 10)}, err
	default:
		return nil, fmt.Errorf("mode=%s", mode)
	}
}

// onlyReader hides ReadFrom and WriteTo, so that the data goes through this
// program.
type onlyReader struct{ io.Reader }

func (s *span) send(c stream) error {
	buf := make([]byte, s.block)
	for at := uint64(0); at < s.len; {
		p := buf[:min(s.block, s.len-at)]
		ask.Fill(p, s.seed, at)
		n, err := c.Write(p)
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", at+uint64(n), err)
		}
		at += uint64(n)
	}
	return c.CloseWrite()
}

func (s *span) receive(c stream, seed uint64) (values, error) {
	sum := sha256.New()
	buf := make([]byte, s.block)
	at := uint64(0)
	v := func() values {
		return values{"bytes": strconv.FormatUint(at, 10), "sha256": hex.EncodeToString(sum.Sum(nil))}
	}
	for {
		n, err := c.Read(buf)
		if bad := ask.Mismatch(buf[:n], seed, at); bad >= 0 {
			return v(), fmt.Errorf("byte %d is not what was sent", bad)
		}
		sum.Write(buf[:n])
		at += uint64(n)
		if err == io.EOF || err == nil && n == 0 {
			return v(), nil
		}
		if err != nil {
			return v(), fmt.Errorf("after %d bytes: %w", at, err)
		}
		// A terminal or port has no end.
		if _, file := c.(fileStream); file && at >= s.len {
			return v(), nil
		}
	}
}

type fileStream struct{ *os.File }

func (fileStream) CloseWrite() error { return nil }

// openFile opens a port of a virtio console, or a terminal, which is made raw.
func openFile(path string) (fileStream, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fileStream{}, err
	}
	if t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
			f.Close()
			return fileStream{}, err
		}
	}
	return fileStream{f}, nil
}
