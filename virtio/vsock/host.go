package vsock

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/unixsocket"
)

// accept takes the host's processes that connected to Config.Path.
func (l *loop) accept() {
	for {
		if len(l.unused) == 0 && len(l.conns) == l.cfg.MaxConnections {
			l.acceptable, l.full = false, true // they wait in the backlog
			return
		}
		fd, _, err := unix.Accept4(l.listener.FD, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			if c := l.allocate(fd, greeting, greetingTime); c == nil {
				l.stats.refused.Add(1)
			}
			// Its first line comes as an event, also when it is there already.
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS:
			l.acceptable, l.full = false, true // for a while
			l.stats.refused.Add(1)
			return
		default:
			l.acceptable = false
			return
		}
	}
}

// maxLine is the longest greeting: "CONNECT 4294967295\r\n" and a little.
const maxLine = 32

// greet reads which port a host's process wants: a line, and not a byte of what
// may stand behind it.
func (l *loop) greet(c *conn) {
	var line [maxLine]byte
	n, _, err := unix.Recvfrom(c.fd, line[:], unix.MSG_PEEK)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil || n == 0:
		l.release(c)
		return
	}
	end := bytes.IndexByte(line[:n], '\n')
	if end < 0 {
		if n == maxLine || c.halfGone {
			l.stats.refused.Add(1)
			l.release(c)
		}
		return
	}
	port, ok := parseConnect(line[:end])
	if m, err := unix.Read(c.fd, line[:end+1]); !ok || err != nil || m != end+1 {
		l.stats.refused.Add(1)
		l.release(c)
		return
	}
	c.port, c.hostPort = port, l.newPort(port)
	c.phase = requested
	l.reserve.first(c)
	l.byPort[key(c.hostPort, c.port)] = c
	l.limit(c, requestTime)
	c.todo = doRequest
	l.ready.put(c)
}

// parseConnect takes "CONNECT 52", with any case of letters and a CR at the end.
func parseConnect(line []byte) (port uint32, ok bool) {
	word, rest, found := bytes.Cut(bytes.TrimSuffix(line, []byte{'\r'}), []byte{' '})
	if !found || !bytes.EqualFold(word, []byte("connect")) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(rest)), 10, 32)
	return uint32(n), err == nil
}

// established tells the host's process that the guest has accepted.
func (l *loop) established(c *conn) {
	c.phase = open
	l.limit(c, 0)
	l.stats.opened.Add(1)
	line := strconv.AppendUint([]byte("OK "), uint64(c.hostPort), 10)
	line = append(line, '\n')
	l.data = append(l.data[:0], iovec(line))
	if n, err := sendv(c.fd, &l.msg, l.data); err != nil || n != len(line) {
		l.reset(c)
	}
}

// connect answers a guest's request: with a connection to the Unix socket of the
// port, or a reset.
func (l *loop) connect(h *header) {
	no := answer{cid: HostCID, hostPort: h.dstPort, port: h.srcPort, kind: kindStream}
	if c := l.byPort[key(h.dstPort, h.srcPort)]; c != nil {
		l.reset(c) // that pair is taken
		return
	}
	fd, err := l.dial(h.dstPort)
	if err != nil {
		l.stats.refused.Add(1)
		l.refuse(no)
		return
	}
	c := l.allocate(fd, open, 0)
	if c == nil {
		l.stats.refused.Add(1)
		l.refuse(no)
		return
	}
	c.hostPort, c.port = h.dstPort, h.srcPort
	l.byPort[key(c.hostPort, c.port)] = c
	c.peerAlloc, c.peerCount = h.bufAlloc, h.fwdCount
	l.reserve.first(c)
	c.todo = doResponse
	l.stats.opened.Add(1)
	l.ready.put(c)
}

// dial connects to the Unix socket of a port.
func (l *loop) dial(port uint32) (int, error) {
	switch {
	case l.cfg.Path == "":
		return -1, unix.ECONNREFUSED
	case l.dialer != nil:
		return l.dialer(0, port)
	}
	return unixsocket.Dial(l.cfg.Path + "_" + strconv.FormatUint(uint64(port), 10))
}

// hostEnded tells the guest that no more comes, and if the process has closed,
// that nothing can be sent either.
func (l *loop) hostEnded(c *conn) {
	c.ended = true
	shut := uint32(shutSend)
	if c.gone {
		shut = shutBoth
		closeFD(&c.fd)
		l.pool.drop(&c.buf)
	}
	if shut&^c.shutTold != 0 {
		c.todo |= doShutdown
		l.ready.put(c)
	}
}
