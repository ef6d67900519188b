package vsock

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

const (
	// spareChains is how many buffers of the guest one read fills at most: 256 KiB
	// in those of Linux.
	spareChains = 64
	// rxBatch is how many turns connections get before the guest's packets do.
	rxBatch = 64
)

// receive gives the guest what there is for it, as long as it gives buffers.
func (l *loop) receive() bool {
	did := false
	l.starved = false
	for range rxBatch {
		if len(l.answers) == 0 && l.ready.head == nil {
			break
		}
		if !l.top(1) {
			l.starved = true
			break
		}
		did = true
		if len(l.answers) > 0 {
			a := l.answers[0]
			copy(l.answers, l.answers[1:])
			l.answers = l.answers[:len(l.answers)-1]
			l.stats.resets.Add(1)
			l.put(header{srcCID: a.cid, dstCID: l.cfg.CID, srcPort: a.hostPort, dstPort: a.port, kind: a.kind, op: opReset})
			continue
		}
		c := l.ready.take()
		if c.todo != 0 {
			l.tell(c)
		} else if c.sendable() {
			l.read(c)
		}
		if c.phase != free && c.busy() {
			l.ready.put(c)
		}
	}
	if did {
		l.rx.Flush()
	}
	return did
}

// top sees to it that there are n buffers of the guest at hand, if it gave them.
func (l *loop) top(n int) bool {
	for l.nspare < n {
		c := &l.spares[(l.spare+l.nspare)%spareChains]
		if !l.rx.Pop(c) {
			return false
		}
		if size := c.In.Len(); size <= headerSize {
			l.rx.Fail(fmt.Errorf("a receive buffer of %d bytes: a packet has more", size))
			return false
		}
		l.nspare++
	}
	return true
}

// put sends one packet, in the first spare buffer. The data are there already.
func (l *loop) put(h header) {
	var raw [headerSize]byte
	h.encode(&raw)
	c := &l.spares[l.spare]
	c.In.CopyIn(raw[:], 0)
	l.spare, l.nspare = (l.spare+1)%spareChains, l.nspare-1
	l.rx.Push(c, headerSize+int(h.length))
	l.stats.rxPackets.Add(1)
}

// send sends a packet of a connection; each tells the guest's credit.
func (l *loop) send(c *conn, op uint16, flags uint32, length int) {
	c.told = c.forwarded
	c.todo &^= doCredit
	l.put(header{srcCID: HostCID, dstCID: l.cfg.CID, srcPort: c.hostPort, dstPort: c.port, kind: kindStream,
		op: op, flags: flags, length: uint32(length), bufAlloc: c.promise(), fwdCount: c.forwarded})
}

// tell sends one of the packets that have no data.
func (l *loop) tell(c *conn) {
	switch {
	case c.todo&doRequest != 0:
		c.todo &^= doRequest
		l.send(c, opRequest, 0, 0)
	case c.todo&doResponse != 0:
		c.todo &^= doResponse
		l.send(c, opResponse, 0, 0)
	case c.todo&doShutdown != 0:
		c.todo &^= doShutdown
		c.shutTold = shutSend
		if c.gone {
			c.shutTold = shutBoth
		}
		l.send(c, opShutdown, c.shutTold, 0)
	case c.todo&doAskCredit != 0:
		c.todo &^= doAskCredit
		l.send(c, opCreditRequest, 0, 0)
	default:
		l.send(c, opCreditUpdate, 0, 0)
	}
}

// read fills the guest's buffers from a socket: as many as the guest has credit
// for, the last reads were worth, and one call takes.
func (l *loop) read(c *conn) {
	credit := int(c.room())
	if credit == 0 {
		return
	}
	limit := min(credit, c.window)
	l.data = l.data[:0]
	total, n := 0, 0
	for total < limit && n < spareChains && l.top(n+1) {
		in := l.spares[(l.spare+n)%spareChains].In
		if n > 0 && len(l.data)+len(in) > virtio.MaxChain {
			break
		}
		size := min(in.Len()-headerSize, maxPacket, limit-total)
		l.data = in.Cut(l.data, headerSize, size)
		l.sizes[n] = size
		total += size
		n++
	}
	if n == 0 {
		return
	}
	got, err := readv(c.fd, l.data)
	switch {
	case err == unix.EINTR:
		return
	case err == unix.EAGAIN:
		c.readable = false
		return
	case err != nil:
		l.reset(c)
		return
	case got == 0:
		l.hostEnded(c)
		return
	}
	l.stats.rxBytes.Add(uint64(got))
	if l.turn = guest; got < total && got >= minWindow {
		l.turn = host // there is a stream, and its sender was outrun
	}
	if got == total {
		c.window = min(2*c.window, maxWindow)
	} else {
		if got < c.window/2 {
			c.window = max(minWindow, c.window/2)
		}
		// All was read. More is an event to come; an end that came before is not.
		c.readable = c.halfGone
	}
	for i := 0; got > 0; i++ {
		size := min(l.sizes[i], got)
		got -= size
		c.sent += uint32(size)
		l.send(c, opData, 0, size)
	}
	if c.room() == 0 && !c.asked {
		c.asked = true
		c.todo |= doAskCredit
	}
}
