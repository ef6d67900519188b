package machine

import (
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/timeline"
)

// vcpus are all vCPUs of a machine.
type vcpus struct {
	list  []*vcpu
	ended <-chan struct{} // closed when the machine has ended
}

func (v *vcpus) kick() {
	for _, c := range v.list {
		c.proc.Kick()
	}
}

// handling tells whether every vCPU has left the guest: it waits at the gate, or its
// exit is being handled.
func (v *vcpus) handling() bool {
	for _, c := range v.list {
		if !c.handling() {
			return false
		}
	}
	return true
}

// exits is how often the vCPUs left the guest, kicks excepted.
func (v *vcpus) exits() (n uint64) {
	for _, c := range v.list {
		n += c.total.Load() - c.exits[hypervisor.ExitKicked].Load()
	}
	return n
}

// record adds the exits to those that the timeline has counted.
func (v *vcpus) record(t *timeline.Recorder) {
	if t == nil {
		return
	}
	for _, c := range v.list {
		for k := range c.exits {
			t.Count(c.id, hypervisor.ExitKind(k).String(), c.exits[k].Load())
		}
	}
}

// sample asks every vCPU once what it is doing, at the cost of one exit each.
// false: one did not answer in time, or the machine ends.
func (v *vcpus) sample() ([]sample, bool) {
	answers := make(chan sample, len(v.list)) // room for all: nobody waits for the reader
	for _, c := range v.list {
		c.ask.Store(&answers)
		c.proc.Kick()
	}
	limit := time.NewTimer(sampleLimit)
	defer limit.Stop()
	list := make([]sample, 0, len(v.list))
	for range v.list {
		select {
		case s := <-answers:
			list = append(list, s)
		case <-v.ended:
			return nil, false
		case <-limit.C:
			return nil, false
		}
	}
	return list, true
}

func (v *vcpus) close() {
	for _, c := range v.list {
		if c.proc != nil {
			c.proc.Close()
		}
	}
}
