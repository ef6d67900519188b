package virtio

import "time"

// Spin is how long at most a Loop that has just worked polls for more before it asks
// the driver for kicks and sleeps. A kick costs the guest an exit and the host a
// wake-up, each a few microseconds on bare hardware and tens of them when nested.
const Spin = 50 * time.Microsecond

const (
	// leastSpin is the shortest time worth looking.
	leastSpin = 6 * time.Microsecond
	// spinAgain is how many sleeps later one that has given up tries again.
	spinAgain = 32
)

// Spinner decides how long to busy-poll, by what came of it before: longer when
// polling found work, shorter when it did not, and at last not at all but for a
// try now and then. So a device with little to do costs nothing, and neither does
// one on a host with more threads than processors: there, polling takes the time
// of who would bring the work, and makes the scheduler think less of the one who
// polls.
type Spinner struct {
	window time.Duration // how long at present; 0: not
	most   time.Duration // 0: never
	since  time.Time     // when there was nothing to do; zero: there is
	until  time.Duration // of this look, which is going on; 0: none is
	sleeps int           // without a look
}

// NewSpinner makes one that looks for at most that long; 0: never.
func NewSpinner(most time.Duration) Spinner { return Spinner{window: most / 2, most: most} }

// Worked says that there was work.
func (s *Spinner) Worked() {
	if s.until > 0 {
		s.window = min(2*s.until, s.most)
		s.until = 0
	}
	s.since = time.Time{}
}

// More tells, when there is no work, whether to look again at once. After a false
// it is false until there was work: a driver that rings for nothing keeps nobody
// busy.
func (s *Spinner) More() bool {
	if s.most == 0 {
		return false
	}
	if s.since.IsZero() {
		s.since = time.Now()
		s.until = s.window
		if s.until == 0 {
			if s.sleeps++; s.sleeps == spinAgain {
				s.sleeps, s.until = 0, s.most
			}
		}
		return s.until > 0
	}
	switch {
	case s.until == 0:
		return false
	case time.Since(s.since) < s.until:
		return true
	}
	s.until = 0
	if s.window /= 2; s.window < leastSpin {
		s.window = 0
	}
	return false
}
