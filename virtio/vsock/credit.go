package vsock

// What a guest may send before a socket has taken it is buffered here, so what is
// promised to the guest as credit is memory of the host. A guest that opens every
// connection to processes that don't read fills all of it. So each connection has
// leastCredit for certain, and more, up to maxCredit, from a reserve that the
// connections of a device share. A promise cannot be taken back: it ends when the
// socket has taken what was promised. Nothing is buffered in the other direction,
// it waits in the sockets.
const (
	leastCredit = 8 << 10
	firstCredit = 64 << 10
	maxCredit   = 256 << 10 // Linux gives as much itself
	reserveSize = 8 << 20
)

// reserve is the credit that connections have above leastCredit each. With the
// default of 1,023 connections all credit is at most 16 MiB.
type reserve struct {
	used        int
	connections int
}

func (r *reserve) free() int { return reserveSize - r.used }

// begin counts a new connection.
func (r *reserve) begin(c *conn) {
	r.connections++
	c.credit.window = leastCredit
}

// first gives a connection that the guest gets to know its window: less when much of
// the reserve is used.
func (r *reserve) first(c *conn) {
	more := min(firstCredit-leastCredit, r.free()/16)
	c.credit.window = leastCredit + more&^(chunkSize-1)
	r.account(c)
}

// end takes all back, from a connection that receives no more.
func (r *reserve) end(c *conn) {
	r.connections--
	r.used -= c.credit.extra
	c.credit = credit{}
}

// adapt changes the window of a connection whose socket has taken half of it: it
// doubles, as long as that takes no more than a quarter of what is free. When little
// is free, a window above the fair share is halved.
func (r *reserve) adapt(c *conn) {
	w := &c.credit.window
	fair := leastCredit + reserveSize/max(r.connections, 1)
	switch {
	case r.free() < reserveSize/8 && *w > fair:
		*w = max(*w/2, leastCredit)
	case *w < maxCredit && *w <= r.free()/4:
		*w = min(2**w, maxCredit)
	}
	r.account(c)
}

// account brings used up to date with c's window and its promises.
func (r *reserve) account(c *conn) {
	extra := max(c.credit.window, c.promised()) - leastCredit
	extra = max(extra, 0)
	r.used += extra - c.credit.extra
	c.credit.extra = extra
}

// credit is what the guest may send on a connection.
type credit struct {
	window int    // how much it is told to have beyond what the socket has taken
	end    uint32 // the furthest byte that it was ever promised, as received counts
	extra  int    // what of the reserve is for it
}

// promised is how much may be in the buffer if the guest sends all that it may.
func (c *conn) promised() int { return int(int32(c.credit.end - c.forwarded)) }

// promise notes what the guest is told with forwarded, and returns its window.
func (c *conn) promise() uint32 {
	if end := c.forwarded + uint32(c.credit.window); int32(end-c.credit.end) > 0 {
		c.credit.end = end
	}
	return uint32(c.credit.window)
}

// allowed tells whether the guest may send n bytes more.
func (c *conn) allowed(n int) bool {
	return n <= maxCredit && int32(c.credit.end-c.received) >= int32(n)
}
