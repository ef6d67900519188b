package vsock

import (
	"time"

	"golang.org/x/sys/unix"
)

// firstHostPort is where the ports begin that host processes' connections get.
const firstHostPort = 1 << 30

// allocate finds a record for a connection over fd, which it takes over; nil, and
// fd is closed: there are too many, or the socket can't be watched.
func (l *loop) allocate(fd int, p phase, limit time.Duration) *conn {
	var c *conn
	if n := len(l.unused); n > 0 {
		c, l.unused = l.unused[n-1], l.unused[:n-1]
	} else if len(l.conns) < l.cfg.MaxConnections {
		c = &conn{slot: int32(len(l.conns))}
		l.conns = append(l.conns, c)
	} else {
		closeFD(&fd)
		return nil
	}
	*c = conn{slot: c.slot, generation: c.generation + 1, phase: p, fd: fd, writable: true, window: minWindow, buf: c.buf}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: c.slot, Pad: c.generation}
	if unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &ev) != nil {
		closeFD(&c.fd)
		c.phase = free
		l.unused = append(l.unused, c)
		return nil
	}
	l.stats.connections.Add(1)
	l.reserve.begin(c)
	l.limit(c, limit)
	return c
}

// limit gives c a deadline, or with 0 none.
func (l *loop) limit(c *conn, d time.Duration) {
	if !c.deadline.IsZero() {
		l.timed--
		c.deadline = time.Time{}
	}
	if d > 0 {
		l.timed++
		c.deadline = time.Now().Add(d)
	}
}

// release forgets a connection.
func (l *loop) release(c *conn) {
	l.limit(c, 0)
	if c.phase == open || c.phase == requested {
		delete(l.byPort, key(c.hostPort, c.port))
	}
	closeFD(&c.fd)
	l.ready.remove(c)
	l.pool.drop(&c.buf)
	l.reserve.end(c)
	c.phase = free
	l.unused = append(l.unused, c)
	l.stats.connections.Add(-1)
	if l.full {
		l.full = false
		l.acceptable = true
	}
}

// reset ends a connection, and tells a guest that knows of it.
func (l *loop) reset(c *conn) {
	if c.phase == open || c.phase == requested && c.todo&doRequest == 0 {
		l.refuse(answer{cid: HostCID, hostPort: c.hostPort, port: c.port, kind: kindStream})
	}
	l.release(c)
}

// finish ends a connection that the guest is done with. What it sent before still
// goes to the host's process.
func (l *loop) finish(c *conn) {
	if c.buf.n == 0 || c.fd < 0 {
		l.release(c)
		return
	}
	delete(l.byPort, key(c.hostPort, c.port))
	l.ready.remove(c)
	c.phase, c.todo = lingering, 0
	c.credit.window, c.credit.end = 0, c.received // it sends no more
	l.reserve.account(c)
	l.limit(c, lingerTime)
}

// answer is a reset that belongs to no connection.
type answer struct {
	cid            uint64 // whom the guest addressed
	hostPort, port uint32
	kind           uint16
}

// mostAnswers is how many resets may wait before packets of the guest do, too.
const mostAnswers = 256

func (l *loop) refuse(a answer) { l.answers = append(l.answers, a) }

// expire ends what takes too long, and tries again what had no room.
func (l *loop) expire() {
	if l.full {
		l.full, l.acceptable = false, true
	}
	if l.timed == 0 {
		return
	}
	now := time.Now()
	for _, c := range l.conns {
		if c.phase == free || c.deadline.IsZero() || now.Before(c.deadline) {
			continue
		}
		if c.phase == lingering && c.buf.n != c.lingered {
			c.lingered = c.buf.n // somebody reads, if slowly
			l.limit(c, lingerTime)
			continue
		}
		l.reset(c)
	}
}

// newPort finds a host port for a connection to the guest's port.
func (l *loop) newPort(port uint32) uint32 {
	for {
		p := l.nextPort
		if l.nextPort++; l.nextPort == 1<<31 {
			l.nextPort = firstHostPort
		}
		if l.byPort[key(p, port)] == nil {
			return p
		}
	}
}
