package machine

import (
	"maps"
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// Stats are counters of a machine since its first start.
type Stats struct {
	State    State
	Uptime   time.Duration
	Restarts int
	Exits    map[string]uint64 // by hypervisor.ExitKind
	// Instructions and Unimplemented are the sums of what hypervisor.Software has, of all vCPUs; nil: nothing.
	Instructions  uint64
	Unimplemented map[string]uint64
}

// counters are those of runs that have ended, and when the machine started and ended.
type counters struct {
	exits      [hypervisor.NumExitKinds]uint64
	missing    map[string]uint64
	executed   uint64
	restarts   int
	begun, end time.Time
}

// add counts a run that has ended; the machine's mu is held.
func (c *counters) add(v *vcpus) {
	for _, p := range v.list {
		for k := range p.exits {
			c.exits[k] += p.exits[k].Load()
		}
		if i, ok := p.proc.(hypervisor.Software); ok {
			c.executed += i.Instructions()
			c.addMissing(i.Unimplemented())
		}
	}
}

// addMissing adds to a copy: the map may be that of runs that have ended.
func (c *counters) addMissing(more map[string]uint64) {
	if len(more) == 0 {
		return
	}
	sum := maps.Clone(c.missing)
	if sum == nil {
		sum = map[string]uint64{}
	}
	for name, n := range more {
		sum[name] += n
	}
	c.missing = sum
}

// Stats counts.
func (m *Machine) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	total := m.past
	if m.hardware != nil {
		total.add(&m.hardware.vcpus)
	}
	s := Stats{State: m.stateLocked(), Restarts: total.restarts, Exits: map[string]uint64{}, Instructions: total.executed, Unimplemented: total.missing}
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
