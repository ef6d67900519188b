package vsock

import "time"

// phase is how far a connection is.
type phase uint8

const (
	free      phase = iota
	greeting        // a host's process has connected, and not said to which port
	requested       // the guest was asked, and has not answered
	open            // both sides agreed; one of them or both may have shut down since
	lingering       // the guest is done, and what it sent is still on its way
)

// How long each may last.
const (
	greetingTime = 30 * time.Second
	requestTime  = 2 * time.Second
	lingerTime   = 60 * time.Second
)

// todo is what the guest is to be told of a connection, each at most once at a
// time: so what a guest that doesn't listen makes us remember has a bound.
type todo uint8

const (
	doRequest todo = 1 << iota
	doResponse
	doCredit
	doAskCredit
	doShutdown
)

// conn is a connection. Records are used again and again.
type conn struct {
	slot, generation int32
	phase            phase
	fd               int    // -1 when the host's side is closed
	hostPort, port   uint32 // the guest's
	deadline         time.Time

	// To the guest: its buffer space, how much of what was sent it has taken out, and
	// how much was sent, all modulo 2^32 (section 5.10.6.3).
	peerAlloc, peerCount, sent uint32
	// From the guest: how much came, how much the socket has taken, and how much of
	// that the guest was told.
	received, forwarded, told uint32
	credit                    credit
	buf                       buffer

	// What epoll said last, edge by edge.
	readable, writable bool
	halfGone, gone     bool // the host's process will not write; has closed
	ended              bool // all that it wrote was read
	asked              bool // for credit, since there was none
	shut, shutTold     uint32
	todo               todo
	window             int // how much to read at once
	lingered           int // what was left when the time was last up

	queued bool // in loop.ready
	next   *conn
}

const (
	minWindow = 4 << 10
	maxWindow = 256 << 10
)

// room is how much more the guest has room for. A guest that reports nonsense
// has none.
func (c *conn) room() uint32 {
	if under := c.sent - c.peerCount; under < c.peerAlloc {
		return c.peerAlloc - under
	}
	return 0
}

// sendable tells whether the host's data can go to the guest now.
func (c *conn) sendable() bool {
	return c.phase == open && c.readable && !c.ended && c.fd >= 0 && c.shut&shutReceive == 0
}

// busy tells whether there is something for the guest.
func (c *conn) busy() bool {
	return c.todo != 0 || c.sendable() && c.room() > 0
}

// key finds a connection by its ports: the host has one address, the guest too.
func key(hostPort, port uint32) uint64 { return uint64(hostPort)<<32 | uint64(port) }

// list is connections with something for the guest, first come first served.
type list struct{ head, tail *conn }

func (l *list) put(c *conn) {
	if c.queued {
		return
	}
	c.queued, c.next = true, nil
	if l.tail == nil {
		l.head = c
	} else {
		l.tail.next = c
	}
	l.tail = c
}

func (l *list) take() *conn {
	c := l.head
	if c == nil {
		return nil
	}
	if l.head = c.next; l.head == nil {
		l.tail = nil
	}
	c.queued, c.next = false, nil
	return c
}

func (l *list) remove(c *conn) {
	if !c.queued {
		return
	}
	var before *conn
	for at := l.head; at != c; at = at.next {
		before = at
	}
	if before == nil {
		l.head = c.next
	} else {
		before.next = c.next
	}
	if l.tail == c {
		l.tail = before
	}
	c.queued, c.next = false, nil
}
