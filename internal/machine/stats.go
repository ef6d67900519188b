package machine

import (
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// Stats are counters of a machine since its first start.
type Stats struct {
	State    State
	Uptime   time.Duration
	Restarts int
	Exits    map[string]uint64 // by hypervisor.ExitKind
}

// counters are those of runs that have ended, and when the machine started and ended.
type counters struct {
	exits      [hypervisor.NumExitKinds]uint64
	restarts   int
	begun, end time.Time
}

// add counts a run that has ended; the machine's mu is held.
func (c *counters) add(v *vcpus) {
	for _, p := range v.list {
		for k := range p.exits {
			c.exits[k] += p.exits[k].Load()
		}
	}
}

// Stats counts.
func (m *Machine) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	total := m.past
	if m.hardware != nil {
		total.add(&m.hardware.vcpus)
	}
	s := Stats{State: m.stateLocked(), Restarts: total.restarts, Exits: map[string]uint64{}}
	for k, n := range total.exits {
		if n > 0 {
			s.Exits[hypervisor.ExitKind(k).String()] = n
		}
	}
	switch {
	case total.begun.IsZero():
	case total.end.IsZero():
		s.Uptime = time.Since(total.begun)
	default:
		s.Uptime = total.end.Sub(total.begun)
	}
	return s
}
