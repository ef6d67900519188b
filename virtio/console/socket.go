package console

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/unixsocket"
)

const socketMode = 0o600

// Delays between attempts to accept a client after a failure.
const (
	acceptFirst = 10 * time.Millisecond
	acceptLast  = time.Second
)

// listens reports whether the port's clients come by a socket.
func (p *Port) listens() bool { return p.Socket != "" || p.Listener != nil }

// listener makes the socket, or takes over the one that was handed over.
func (p *port) listener() (*unixsocket.Listener, error) {
	if p.cfg.Listener == nil {
		l, err := unixsocket.Listen(p.cfg.Socket, socketMode)
		if err != nil {
			return nil, fmt.Errorf("socket: %w", err)
		}
		return l, nil
	}
	l, err := unixsocket.Take(p.cfg.Listener)
	if err != nil {
		return nil, fmt.Errorf("listener: %w", err)
	}
	return l, nil
}

// openSocket listens for clients. They come one after the other; the guest is told
// of each.
func (p *port) openSocket() error {
	l, err := p.listener()
	if err != nil {
		return err
	}
	fd, err := unix.FcntlInt(uintptr(l.FD), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		l.Close()
		return fmt.Errorf("socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), p.cfg.Socket) // for the Go poller
	p.removals = l.Directories()
	p.hostOpen = false
	p.out.w = nil
	p.closers = append(p.closers, func() error {
		f.Close()
		l.Close()
		return nil
	})
	go p.clients(f)
	return nil
}

func (p *port) clients(l *os.File) {
	conn, err := l.SyscallConn()
	if err != nil {
		return
	}
	wait := acceptFirst
	for {
		client := -1
		var refused error
		err := conn.Read(func(fd uintptr) bool {
			client, _, refused = unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			return refused != unix.EAGAIN
		})
		if err != nil {
			return // closed
		}
		if client < 0 {
			// Out of descriptors or memory: the client is still in the backlog, and the
			// listener still readable.
			if wait == acceptFirst {
				p.d.report(fmt.Errorf("port %d: socket: no client can be accepted at present: %w", p.index, refused))
			}
			select {
			case <-p.stopping:
				return
			case <-time.After(wait):
				wait = min(2*wait, acceptLast)
				continue
			}
		}
		wait = acceptFirst
		p.client(os.NewFile(uintptr(client), p.cfg.Socket))
	}
}

// client serves one until it goes.
func (p *port) client(f *os.File) {
	gone := make(chan struct{})
	go func() { // a Read that waits does not see that the device is closed
		select {
		case <-p.stopping:
			select {
			case <-p.out.done: // its output first
			case <-gone:
			}
		case <-gone:
		}
		f.Close()
	}()
	p.in.forget()
	p.out.connect(f)
	p.setHostOpen(true)
	p.pump(f, func() bool { return hungUp(f) })
	p.setHostOpen(false)
	p.out.connect(nil)
	close(gone)
}

// hungUp tells whether the other end is closed, not only for writing.
func hungUp(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return true
	}
	p, n := []unix.PollFd{{}}, 0
	if conn.Control(func(fd uintptr) {
		p[0].Fd = int32(fd)
		n, err = unix.Poll(p, 0)
	}) != nil {
		return true
	}
	return err == nil && n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
}
