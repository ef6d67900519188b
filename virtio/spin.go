package virtio

import "time"

// Spin is how long at most a Worker that has just worked looks for more before it
// asks the driver to ring and sleeps. A ring costs the guest an exit and the host
// a wake-up, each a few microseconds on bare hardware and tens of them when
// nested.
const Spin = 50 * time.Microsecond

// leastSpin is the shortest time worth looking.
const leastSpin = 6 * time.Microsecond

// Spinner decides how long to look. It looks longer where the next work came soon
// after it gave up, and less where it did not: a device with nothing to do, or a
// host with more threads than processors, where looking takes the time of who
// would bring the work and makes the scheduler think less of the one who looks.
type Spinner struct {
	window time.Duration // how long at present
	most   time.Duration // 0: never
	since  time.Time     // when there was nothing to do; zero: there is
}

// NewSpinner makes one that looks for at most that long; 0: never.
func NewSpinner(most time.Duration) Spinner { return Spinner{window: most / 2, most: most} }

// Worked says that there was work.
func (s *Spinner) Worked() { s.since = time.Time{} }

// More tells, when there is no work, whether to look again at once.
func (s *Spinner) More() bool {
	if s.most == 0 {
		return false
	}
	now := time.Now()
	if s.since.IsZero() {
		s.since = now
		return s.window > 0
	}
	return now.Sub(s.since) < s.window
}

// Woke learns from a sleep. It is followed by looking again only if there was work:
// a driver that rings for nothing keeps nobody busy.
func (s *Spinner) Woke() {
	if s.most == 0 {
		return
	}
	switch idle := time.Since(s.since); {
	case idle <= s.most:
		s.window = min(max(2*s.window, leastSpin), s.most)
	case idle > 4*s.most:
		if s.window /= 2; s.window < leastSpin {
			s.window = 0
		}
	}
}
