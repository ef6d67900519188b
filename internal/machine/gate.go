package machine

import (
	"context"
	"sync"
	"time"
)

// gate keeps vCPUs out of the guest while the machine is paused.
type gate struct {
	mu      sync.Mutex
	changed sync.Cond // on mu
	closed  bool
	ended   bool // open for good
	inside  int  // vCPUs that don't wait at it
}

func newGate(vcpus int) *gate {
	g := &gate{inside: vcpus}
	g.changed.L = &g.mu
	return g
}

// close has vCPUs wait from now on; false: they do already, or never will again.
func (g *gate) close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.ended {
		return false
	}
	g.closed = true
	return true
}

// open lets vCPUs go on; false: it was open.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.closed
	g.closed = false
	g.changed.Broadcast()
	return was
}

// end opens the gate for good.
func (g *gate) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed, g.ended = false, true
	g.changed.Broadcast()
}

// pass returns when the gate is open; waited: it was not.
func (g *gate) pass() (waited bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		return false
	}
	g.inside--
	g.changed.Broadcast()
	for g.closed {
		g.changed.Wait()
	}
	g.inside++
	return true
}

// Times of awaitEmpty.
const (
	handlerGrace = 50 * time.Millisecond // for handlers of exits to end
	handlerPoll  = 10 * time.Millisecond
)

// awaitEmpty returns when every vCPU waits at the closed gate, when the gate is
// opened, or when ctx ends. A vCPU whose exit is being handled has left the guest, and waits before it
// enters again: its handler, the reset of a device say, may take as long as the guest's
// requests. After a time of grace it is enough that handling says so of all.
func (g *gate) awaitEmpty(ctx context.Context, handling func() bool) {
	begin := time.Now()
	notify := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.changed.Broadcast()
	}
	wake := time.AfterFunc(handlerGrace, notify)
	defer wake.Stop()
	defer context.AfterFunc(ctx, notify)()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.closed && g.inside > 0 && ctx.Err() == nil {
		if time.Since(begin) >= handlerGrace {
			if handling() {
				return
			}
			wake.Reset(handlerPoll)
		}
		g.changed.Wait()
	}
}
