package vnet

import (
	"time"

	"github.com/mayfly-vm/mayfly/ratelimit"
)

// patience is how long a frame that is longer than all buffers that the driver
// has given waits for more.
const patience = 20 * time.Millisecond

func limits(c ratelimit.Config) bool { return c.Bandwidth != nil || c.Ops != nil }

// pause is a time in which a direction rests while the other goes on. The zero
// pause is none.
type pause struct{ end time.Time }

// leastPause is the shortest: a sleep costs about as much.
const leastPause = 50 * time.Microsecond

func (p *pause) begin(t time.Duration) { p.end = time.Now().Add(max(t, leastPause)) }

func (p *pause) set() bool { return !p.end.IsZero() }

// over tells whether there is none any more.
func (p *pause) over() bool {
	if p.set() && time.Now().Before(p.end) {
		return false
	}
	p.end = time.Time{}
	return true
}
