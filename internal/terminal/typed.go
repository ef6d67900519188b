package terminal

import (
	"io"
	"os"
	"sync"
	"time"
)

const (
	// readSize is the most bytes taken from a terminal at once.
	readSize = 4096
	// maxTyped is how much a guest may leave unread before the terminal isn't read
	// any more, nor a command seen. Nobody types that much; what is pasted is held up,
	// not lost.
	maxTyped = 1 << 20
)

// typed is what came from a terminal and waits for the guest. A goroutine reads the
// terminal, so that a command is seen though the guest reads nothing.
type typed struct {
	ready chan struct{} // something for the reading goroutine has changed
	room  chan struct{} // something for the watching one
	done  chan struct{} // closed by the watching one at its end

	mu     sync.Mutex
	bytes  []byte
	breaks []int // how many bytes stand before each break, from the last one on
	ended  bool
}

func newTyped() *typed {
	return &typed{ready: make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(chan struct{})}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (t *typed) signal()   { poke(t.ready) }
func (t *typed) makeRoom() { poke(t.room) }

// watch reads the terminal, obeys what is meant for the monitor and keeps the rest.
func (r *Reader) watch() {
	t := r.typed
	defer r.term.RestoreOnPanic()
	defer close(t.done)
	var escape Escape
	buf, out := make([]byte, readSize), make([]byte, 0, readSize+1)
	left := false
	for !left && !r.ended && !r.closed.Load() {
		if t.full() {
			<-t.room
			continue
		}
		if ready, err := r.wait(); err != nil {
			break // poll fails for want of memory alone
		} else if !ready {
			continue
		}
		for in := buf[:r.fill(buf)]; len(in) > 0 && !left; {
			var n int
			var action Action
			out, n, action = escape.Next(out[:0], in)
			in = in[n:]
			t.put(out, action == Break)
			switch action {
			case Leave:
				left = true
			case Help:
				call(r.events.Help)
			}
		}
	}
	if left {
		call(r.events.Leave)
	}
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	t.signal()
}

func (t *typed) full() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.bytes)+len(t.breaks) >= maxTyped
}

func (t *typed) put(p []byte, isBreak bool) {
	t.mu.Lock()
	t.bytes = append(t.bytes, p...)
	if isBreak {
		before := len(t.bytes)
		for _, n := range t.breaks {
			before -= n
		}
		t.breaks = append(t.breaks, before)
	}
	t.mu.Unlock()
	t.signal()
}

// take moves bytes to p up to the next break, or takes that.
func (t *typed) take(p []byte) (n int, isBreak, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	most := len(t.bytes)
	if len(t.breaks) > 0 {
		if most = t.breaks[0]; most == 0 {
			t.breaks = t.breaks[1:]
			t.makeRoom()
			return 0, true, false
		}
	}
	n = copy(p, t.bytes[:most])
	if len(t.breaks) > 0 {
		t.breaks[0] -= n
	}
	if t.bytes = t.bytes[n:]; len(t.bytes) == 0 {
		t.bytes = nil // what a paste took is given back
	}
	t.makeRoom()
	return n, false, n == 0 && t.ended
}

// readTyped is Read of a terminal.
func (r *Reader) readTyped(p []byte) (int, error) {
	var timer *time.Timer
	for {
		if r.closed.Load() {
			return 0, io.EOF
		}
		n, isBreak, ended := r.typed.take(p)
		switch {
		case n > 0:
			return n, nil
		case isBreak:
			call(r.events.Break)
			continue
		case ended:
			return 0, io.EOF
		}
		var expired <-chan time.Time
		if at := r.deadline.Load(); at != 0 {
			left := time.Until(time.Unix(0, at))
			if left <= 0 {
				return 0, os.ErrDeadlineExceeded
			}
			timer = time.NewTimer(left)
			expired = timer.C
		}
		select {
		case <-r.typed.ready:
		case <-expired:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}
