package machine

import (
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// Times at which the supervisor asks whether a machine has stopped for good.
const (
	// Each poll that finds a machine idle but alive doubles the wait, up to the last.
	firstPoll, lastPoll = 1500 * time.Millisecond, 32 * time.Second
	// What may be a halt, by its message or by a sample, is asked about so soon again.
	haltPoll  = 100 * time.Millisecond
	haltPolls = 15
	// So many samples in a row show a halt that KVM does not call one: it lets a
	// vCPU with an event that it can't deliver run into its HLT again and again.
	haltSamples = 5
)

// haltWatch finds out whether every vCPU has stopped for good.
type haltWatch struct {
	exits   uint64
	samples int // in a row in which every vCPU had stopped
	soon    int // polls that follow a message
	backoff time.Duration
	wait    time.Duration // until the next poll
}

// poll is called when wait is over, and sets it anew.
func (h *haltWatch) poll(v *vcpus) bool {
	now := v.exits()
	quiet := now == h.exits
	h.exits = now
	if !quiet { // it lives
		h.samples, h.backoff = 0, firstPoll
		h.next(h.backoff)
		return false
	}
	stopped, stalled := 0, 0
	list, ok := v.sample()
	for i := range list {
		if list[i].stopped() {
			stopped++
		}
		if list[i].activity == hypervisor.Stalled {
			stalled++
		}
	}
	switch {
	case ok && stalled == len(v.list):
		return true
	case ok && stopped == len(v.list):
		if h.samples++; h.samples == haltSamples {
			return true
		}
		h.wait = haltPoll
	default:
		h.samples = 0
		if h.soon == 0 {
			h.backoff = min(max(2*h.backoff, 2*firstPoll), lastPoll)
		}
		h.next(max(h.backoff, firstPoll))
	}
	return false
}

func (h *haltWatch) next(wait time.Duration) {
	if h.wait = wait; h.soon > 0 {
		h.soon--
		h.wait = haltPoll
	}
}
