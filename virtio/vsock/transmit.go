package vsock

import (
	"golang.org/x/sys/unix"
)

// txBatch is how many packets of the guest are looked at before its receive queue
// has its turn.
const txBatch = 64

// transmit takes packets from the guest.
func (l *loop) transmit() bool {
	did := false
	var bytes uint64
	n := uint64(0)
	for range txBatch {
		// A guest that takes no answers is not asked for more questions.
		if len(l.answers) >= mostAnswers || !l.tx.Pop(&l.chain) {
			break
		}
		bytes += l.packet()
		n++
		l.tx.Push(&l.chain, 0)
		did = true
	}
	if did {
		l.stats.txPackets.Add(n)
		l.stats.txBytes.Add(bytes)
		l.tx.Flush()
	}
	return did
}

// packet does what one packet says, and returns how many bytes of data it brought.
func (l *loop) packet() uint64 {
	var raw [headerSize]byte
	if l.chain.Out.CopyOut(raw[:], 0) != headerSize {
		l.stats.dropped.Add(1)
		return 0
	}
	var h header
	h.decode(&raw)
	if h.srcCID != l.cfg.CID || uint64(h.length) > uint64(l.chain.Out.Len()-headerSize) {
		l.stats.dropped.Add(1)
		return 0
	}
	known := h.dstCID == HostCID && h.kind == kindStream
	var c *conn
	if known {
		c = l.byPort[key(h.dstPort, h.srcPort)]
	}
	switch {
	case h.op == opReset:
		if c != nil {
			l.finish(c)
		}
	case known && h.op == opRequest:
		l.connect(&h)
	case c == nil:
		// Section 5.10.6.4: no such socket.
		l.refuse(answer{cid: h.dstCID, hostPort: h.dstPort, port: h.srcPort, kind: h.kind})
	default:
		c.peerAlloc, c.peerCount = h.bufAlloc, h.fwdCount
		if c.asked && c.room() > 0 {
			c.asked = false
		}
		return l.deliver(c, &h)
	}
	return 0
}

// deliver does what a packet of a connection says.
func (l *loop) deliver(c *conn, h *header) uint64 {
	switch {
	case c.phase == requested && h.op == opResponse && c.todo&doRequest == 0:
		l.established(c)
	case c.phase == requested:
		l.reset(c) // data before the answer
	case h.op == opData:
		if !l.forward(c, int(h.length)) {
			return uint64(h.length)
		}
	case h.op == opCreditRequest:
		c.todo |= doCredit
	case h.op == opCreditUpdate:
	case h.op == opShutdown:
		l.guestShut(c, h.flags&shutBoth)
	default:
		l.reset(c)
	}
	if c.phase == open && c.busy() {
		l.ready.put(c)
	}
	if h.op == opData {
		return uint64(h.length)
	}
	return 0
}

// forward moves the n bytes behind the header to the socket, or to where they
// wait for it; false: the connection is gone.
func (l *loop) forward(c *conn, n int) bool {
	switch {
	case n == 0:
		return true
	case c.fd < 0 || c.shut&shutSend != 0, // nobody there; or it said that it wouldn't
		!c.allowed(n): // more than its credit
		l.reset(c)
		return false
	}
	c.received += uint32(n)
	l.data = l.chain.Out.Cut(l.data[:0], headerSize, n)
	l.turn = host
	done := 0
	if c.buf.n == 0 && c.writable {
		var err error
		done, err = sendv(c.fd, &l.msg, l.data)
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			l.reset(c)
			return false
		}
		c.forwarded += uint32(done)
		// Less than all means no room; room that came since is an event to come.
		c.writable = done == n || err == unix.EINTR
	}
	if done < n {
		c.buf.fill(&l.pool, l.data, done)
		if c.writable {
			return l.drain(c)
		}
	}
	l.checkCredit(c)
	return true
}

// drain writes what waits for the socket; false: the connection is gone.
func (l *loop) drain(c *conn) bool {
	for c.buf.n > 0 && c.writable && c.fd >= 0 {
		l.data = c.buf.vec(l.data[:0])
		n, err := sendv(c.fd, &l.msg, l.data)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			c.writable = false
		case err != nil:
			l.reset(c)
			return false
		default:
			c.forwarded += uint32(n)
			c.buf.consume(&l.pool, n)
		}
	}
	if c.buf.n == 0 {
		if c.phase == lingering {
			l.release(c)
			return false
		}
		if c.shut&shutSend != 0 && c.fd >= 0 {
			_ = unix.Shutdown(c.fd, unix.SHUT_WR)
		}
	}
	l.checkCredit(c)
	return true
}

// checkCredit tells the guest of room when it knows of half of it at most. Each
// packet to it tells as well.
func (l *loop) checkCredit(c *conn) {
	if c.credit.extra > c.credit.window-leastCredit { // of older promises, which end
		l.reserve.account(c)
	}
	if c.phase == open && c.forwarded-c.told >= uint32(c.credit.window)/2 && c.todo&doCredit == 0 {
		l.reserve.adapt(c)
		c.todo |= doCredit
		l.ready.put(c)
	}
}

// guestShut is the guest's word that it will not receive or send any more.
func (l *loop) guestShut(c *conn, flags uint32) {
	fresh := flags &^ c.shut
	c.shut |= flags
	if c.shut == shutBoth {
		// It waits for the reset that confirms it (section 5.10.6.6).
		l.refuse(answer{cid: HostCID, hostPort: c.hostPort, port: c.port, kind: kindStream})
		l.finish(c)
		return
	}
	if c.fd < 0 {
		return
	}
	if fresh&shutSend != 0 && c.buf.n == 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	}
	if fresh&shutReceive != 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_RD)
	}
}
