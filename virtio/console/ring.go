package console

// ring is bytes on their way between a port and its host.
type ring struct {
	b       []byte // made when the first byte comes
	head, n int
}

const ringSize = 64 << 10

func (r *ring) room() int { return ringSize - r.n }

// put takes what fits of p.
func (r *ring) put(p []byte) (taken int) {
	for taken < len(p) {
		free := r.free()
		if len(free) == 0 {
			break
		}
		n := copy(free, p[taken:])
		r.n, taken = r.n+n, taken+n
	}
	return taken
}

// free is the room that lies in one piece; what is filled counts when n grows.
func (r *ring) free() []byte {
	if r.b == nil {
		r.b = make([]byte, ringSize)
	}
	tail := (r.head + r.n) % ringSize
	return r.b[tail:min(tail+r.room(), ringSize)]
}

// piece is the oldest bytes that lie in one.
func (r *ring) piece() []byte {
	if r.n == 0 {
		return nil
	}
	return r.b[r.head:min(r.head+r.n, ringSize)]
}

func (r *ring) drop(n int) {
	r.head, r.n = (r.head+n)%ringSize, r.n-n
	if r.n == 0 {
		r.head = 0 // so that a quiet port touches one page
	}
}

// bytes is a copy of all.
func (r *ring) bytes() (all []byte) {
	for c := *r; c.n > 0; {
		p := c.piece()
		all = append(all, p...)
		c.drop(len(p))
	}
	return all
}
