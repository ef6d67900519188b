package soft

import (
	"slices"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// StepOnce executes one instruction of a processor that is not halted, or enters the handler of its
// exception, or executes one iteration of a repetition. Interrupts stay pending. False: e has an exit.
func StepOnce(p hypervisor.Processor, e *hypervisor.Exit) bool {
	c := p.(*CPU)
	c.attend.Store(true)
	if c.watching() {
		return !c.observed(e)
	}
	return !c.single(e)
}

// StepTo executes instructions up to one of these addresses. False: e has an exit, or there were too many.
func StepTo(p hypervisor.Processor, e *hypervisor.Exit, addrs ...uint64) bool {
	c := p.(*CPU)
	for range 1_000_000 {
		c.attend.Store(false) // repetitions are executed at once
		if c.single(e) {
			return false
		}
		if slices.Contains(addrs, c.RIP) {
			return true
		}
	}
	return false
}
