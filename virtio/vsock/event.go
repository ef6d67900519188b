package vsock

import "golang.org/x/sys/unix"

func (l *loop) event(ev *unix.EpollEvent) {
	switch {
	case ev.Fd == slotListener:
		l.acceptable = true
	case ev.Fd < 0:
	case int(ev.Fd) < len(l.conns):
		c := l.conns[ev.Fd]
		if c.phase != free && c.generation == ev.Pad {
			l.socketEvent(c, ev.Events)
		}
	}
}

// socketEvent notes what a socket is ready for.
func (l *loop) socketEvent(c *conn, ev uint32) {
	if ev&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.readable = true
	}
	if ev&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0 {
		c.halfGone = true
	}
	if ev&unix.EPOLLHUP != 0 {
		c.gone = true
	}
	if ev&unix.EPOLLOUT != 0 {
		c.writable = true
		if c.buf.n > 0 && !l.drain(c) {
			return
		}
	}
	switch c.phase {
	case greeting:
		l.greet(c)
	case requested:
		if c.gone {
			l.reset(c) // it did not wait for the answer
		}
	case open:
		if c.gone && (c.ended || c.shut&shutReceive != 0) {
			l.hostEnded(c) // nothing will be read that would tell
		}
		if c.busy() {
			l.ready.put(c)
		}
	}
}
