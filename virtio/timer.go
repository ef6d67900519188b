package virtio

import "time"

// Timer ends a sleep of the Loop whose LoopConfig names it. It belongs to the Loop's
// goroutine; who does not sleep asks it. The zero Timer is not set.
type Timer struct{ at time.Time }

// leastTimer is the shortest time: a sleep costs about as much.
const leastTimer = 50 * time.Microsecond

// Set sets the timer to the time d from now on, or 50 us.
func (t *Timer) Set(d time.Duration) { t.at = time.Now().Add(max(d, leastTimer)) }

// Stop makes it one that is not set.
func (t *Timer) Stop() { t.at = time.Time{} }

// IsSet reports whether it is set, be its time over or not.
func (t *Timer) IsSet() bool { return !t.at.IsZero() }

// Waits reports whether its time is still to come. When it is over, the timer is not
// set any more.
func (t *Timer) Waits() bool {
	if t.IsSet() && time.Now().Before(t.at) {
		return true
	}
	t.Stop()
	return false
}
