package console

import (
	"sync"

	"github.com/mayfly-vm/mayfly/virtio"
)

// Input is what goes to a port of the guest. Its methods are safe for several
// goroutines, and have the meaning that they have for the serial port.
type Input struct {
	stats *counters

	mu      sync.Mutex
	ring    ring
	queue   *virtio.Queue // to kick; nil: the port is not served
	opened  bool          // the guest has the port open
	refused bool          // room is to be signalled
	closed  bool
	space   chan struct{}
}

// Receive gives the guest input, and returns how many bytes of p were taken: fewer
// than len(p) when it has not read those before, and Space then says when to go
// on. A closed device takes and discards everything.
func (in *Input) Receive(p []byte) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return len(p)
	}
	n := in.ring.put(p)
	in.refused = n < len(p)
	in.wake()
	return n
}

// Space returns a channel that has an element when there may be room for input
// after Receive had to refuse some.
func (in *Input) Space() <-chan struct{} { return in.space }

func (in *Input) wake() {
	if in.queue != nil && in.opened && in.ring.n > 0 {
		in.queue.Wake()
	}
}

func (in *Input) signal() {
	in.refused = false
	select {
	case in.space <- struct{}{}:
	default: // there is a signal already
	}
}

func (in *Input) attach(q *virtio.Queue) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.queue = q
	in.wake()
}

// open is the guest's word that it reads the port; input before it would be lost.
func (in *Input) open(yes bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.opened = yes
	in.wake()
}

// forget drops what another client left.
func (in *Input) forget() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ring.drop(in.ring.n)
}

func (in *Input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.signal()
}

// waits tells whether there is input that the guest has no buffers for.
func (in *Input) waits() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.opened && in.ring.n > 0
}

// fill moves input to the guest's buffers.
func (in *Input) fill(q *virtio.Queue, c *virtio.Chain) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	did := false
	for range portQueue { // a driver whose buffers have no bytes must not keep the lock
		if !in.opened || in.ring.n == 0 || !q.Pop(c) {
			break
		}
		n := 0
		for in.ring.n > 0 {
			m := c.In.CopyIn(in.ring.piece(), n)
			if m == 0 {
				break
			}
			in.ring.drop(m)
			n += m
		}
		in.stats.toGuest.Add(uint64(n))
		q.Push(c, n)
		did = true
	}
	q.Flush()
	// One wake-up for half a ring, not one for each buffer.
	if in.refused && in.ring.n <= ringSize/2 {
		in.signal()
	}
	return did
}
