package machine

import (
	"fmt"
	"time"
)

// How soon a guest that reboots may start again. One that reboots at once, for
// ever, would keep a host CPU busy with nothing but starts.
const (
	shortBoot    = time.Second // a boot that lasted longer is a guest at work
	freeRestarts = 3           // short boots in a row that are followed by the next at once
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// restartPace delays the restarts of a guest whose boots are short.
type restartPace struct {
	began  time.Time // the running boot
	short  int       // boots in a row
	warned bool
}

// next tells how long to wait after a boot that ended now.
func (p *restartPace) next(now time.Time) time.Duration {
	if now.Sub(p.began) >= shortBoot {
		p.short = 0
		return 0
	}
	if p.short++; p.short <= freeRestarts {
		return 0
	}
	pause := firstPause
	for n := freeRestarts + 1; n < p.short && pause < longestPause; n++ {
		pause *= 2
	}
	return min(pause, longestPause)
}

// paceRestart returns when the machine may be restarted, or was killed.
func (m *Machine) paceRestart() {
	pause := m.pace.next(time.Now())
	if pause == 0 {
		return
	}
	if !m.pace.warned {
		m.pace.warned = true
		m.spec.Reports.Report("restart", fmt.Errorf("the guest has rebooted %d times within %v of its start each time: further restarts wait up to %v", m.pace.short, shortBoot, longestPause))
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.killSeen:
	}
}
