package usernet

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// flow is an exchange of packets that has no end of its own.
type flow struct {
	peer  netip.Addr
	used  atomic.Int64 // when, in Unix nanoseconds
	close func()
}

// flows bounds exchanges of packets: one that was idle for long is closed, and
// where there is no room, the one that was idle longest.
type flows struct {
	idle   time.Duration
	shares *shares

	mu   sync.Mutex
	list map[*flow]struct{}
}

func newFlows(most int, idle time.Duration) *flows {
	return &flows{idle: idle, shares: newShares(most), list: map[*flow]struct{}{}}
}

// add makes room for a flow with peer. Its close is called once, by remove.
func (t *flows) add(peer netip.Addr, close func()) *flow {
	for !t.shares.take(peer) {
		// A peer that has its share gives up one of its own.
		t.remove(t.oldest(peer, t.shares.holds(peer) > 0))
	}
	f := &flow{peer: peer, close: close}
	f.touch()
	t.mu.Lock()
	t.list[f] = struct{}{}
	t.mu.Unlock()
	return f
}

// oldest is the flow that was idle longest, of all or of one peer's.
func (t *flows) oldest(peer netip.Addr, own bool) (found *flow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for f := range t.list {
		if (!own || f.peer == peer) && (found == nil || f.used.Load() < found.used.Load()) {
			found = f
		}
	}
	return found
}

// touch notes that the flow is in use.
func (f *flow) touch() { f.used.Store(time.Now().UnixNano()) }

// remove closes a flow that is still there.
func (t *flows) remove(f *flow) {
	if f == nil {
		return
	}
	t.mu.Lock()
	_, there := t.list[f]
	delete(t.list, f)
	t.mu.Unlock()
	if there {
		f.close()
		t.shares.put(f.peer)
	}
}

// expire closes idle flows until ctx ends, and then all.
func (t *flows) expire(ctx context.Context) {
	tick := time.NewTicker(t.idle / 4)
	defer tick.Stop()
	for {
		limit := time.Now().Add(-t.idle)
		select {
		case <-ctx.Done():
			limit = time.Now().Add(time.Hour)
		case <-tick.C:
		}
		var old []*flow
		t.mu.Lock()
		for f := range t.list {
			if f.used.Load() < limit.UnixNano() {
				old = append(old, f)
			}
		}
		t.mu.Unlock()
		for _, f := range old {
			t.remove(f)
		}
		if ctx.Err() != nil {
			return
		}
	}
}
