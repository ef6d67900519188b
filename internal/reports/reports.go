// Package reports passes on what goes wrong with a machine's parts while it lives,
// within limits for each part: a guest brings its devices into trouble as often as it
// likes.
package reports

import (
	"fmt"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly/virtio"
)

// How many reports of one device are passed on: so many at once, and one more with
// each such time. Guests bring their devices into trouble as often as they like;
// that must fill nobody's log, and no pipe that nobody reads.
const (
	burst    = 8
	interval = time.Minute
)

// Limiter passes reports on, within limits. A nil Limiter drops them.
type Limiter struct {
	to func(name string, err error)

	mu      sync.Mutex
	devices map[string]*quota // by name
}

// New returns a Limiter that passes reports, each a *virtio.DeviceError or wrapping one, to a function, which may run in several
// goroutines at once; nil where to is nil.
func New(to func(name string, err error)) *Limiter {
	if to == nil {
		return nil
	}
	return &Limiter{to: to}
}

type quota struct {
	left    int
	since   time.Time // when left was last brought up to date
	dropped int
}

// from passes a device's report on, under the device's name.
func (l *Limiter) from(name string, err error, now time.Time) {
	dropped, ok := l.take(name, now)
	switch {
	case !ok:
	case dropped > 0:
		l.to(name, fmt.Errorf("%w (and %d reports before, which were too many)", virtio.Named(name, err), dropped))
	default:
		l.to(name, virtio.Named(name, err))
	}
}

// take asks whether a report may pass, and how many did not before it.
func (l *Limiter) take(name string, now time.Time) (dropped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.devices[name]
	if q == nil {
		q = &quota{left: burst, since: now}
		if l.devices == nil {
			l.devices = make(map[string]*quota)
		}
		l.devices[name] = q
	}
	if n := now.Sub(q.since) / interval; n > 0 {
		q.left = int(min(time.Duration(q.left)+n, burst))
		q.since = q.since.Add(n * interval)
	}
	if q.left == 0 {
		q.dropped++
		return 0, false
	}
	q.left--
	dropped, q.dropped = q.dropped, 0
	return dropped, true
}

// For is what a device of that name reports to; nil where l is nil.
func (l *Limiter) For(name string) func(error) {
	if l == nil {
		return nil
	}
	return func(err error) { l.from(name, err, time.Now()) }
}

// Report passes a report of a device on, if l is not nil.
func (l *Limiter) Report(name string, err error) {
	if l != nil {
		l.from(name, err, time.Now())
	}
}
