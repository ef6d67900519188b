package mayfly

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// How many reports of one device are passed on: so many at once, and one more with
// each such time. Guests bring their devices into trouble as often as they like;
// that must fill nobody's log, and no pipe that nobody reads.
const (
	reportBurst = 8
	reportEvery = time.Minute
)

// reports passes devices' reports on, within limits.
type reports struct {
	to func(error)

	mu      sync.Mutex
	devices map[string]*reportQuota // by name
}

type reportQuota struct {
	left    int
	since   time.Time // when left was last brought up to date
	dropped int
}

// from tells the program of a device's trouble, under the device's name.
func (r *reports) from(name string, err error, now time.Time) {
	dropped, ok := r.take(name, now)
	switch {
	case !ok:
	case dropped > 0:
		r.to(fmt.Errorf("%w (and %d reports before, which were too many)", named(name, err), dropped))
	default:
		r.to(named(name, err))
	}
}

// named puts a device's name before an error, unless the device did so itself.
func named(name string, err error) error {
	if strings.HasPrefix(err.Error(), name+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// take asks whether a report may pass, and how many did not before it.
func (r *reports) take(name string, now time.Time) (dropped int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.devices[name]
	if q == nil {
		q = &reportQuota{left: reportBurst, since: now}
		if r.devices == nil {
			r.devices = make(map[string]*reportQuota)
		}
		r.devices[name] = q
	}
	if n := now.Sub(q.since) / reportEvery; n > 0 {
		q.left = int(min(time.Duration(q.left)+n, reportBurst))
		q.since = q.since.Add(n * reportEvery)
	}
	if q.left == 0 {
		q.dropped++
		return 0, false
	}
	q.left--
	dropped, q.dropped = q.dropped, 0
	return dropped, true
}

// reporter is what a device of that name reports to; nil: nobody is there.
func (c *Config) reporter(name string) func(error) {
	r := c.reports
	if r == nil {
		return nil
	}
	return func(err error) { r.from(name, err, time.Now()) }
}
