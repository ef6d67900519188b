package machine

import (
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/memory"
)

// sample is what one vCPU was doing when it was asked.
type sample struct {
	activity hypervisor.Activity
	user     bool   // at CPL 3
	deadHalt bool   // at a HLT instruction with interrupts off, whatever KVM calls that
	rip      uint64 // guest-virtual
}

// stopped tells whether nothing but an NMI or a reset could move the vCPU on.
func (s *sample) stopped() bool { return s.activity == hypervisor.Stalled || s.deadHalt }

// sampleLimit is how long vCPUs have to answer. One that takes longer is busy in
// a device, or paused.
const sampleLimit = 50 * time.Millisecond

// observe is the vCPU's answer; it runs in the thread of the vCPU. What can't be
// found out counts as a running guest.
func (c *vcpu) observe() (s sample) {
	var err error
	if s.activity, err = c.proc.Activity(); err != nil || s.activity == hypervisor.Stalled {
		return s
	}
	state, err := c.proc.State()
	if err != nil {
		return s
	}
	const interruptFlag = 1 << 9
	s.rip = state.RIP
	s.user = state.CS.Selector&3 == 3 || state.SS.DPL == 3
	s.deadHalt = !s.user && state.RFLAGS&interruptFlag == 0 && c.atHalt(&state)
	return s
}

// atHalt tells whether the instruction at RIP, or the byte before it, is HLT:
// KVM moves RIP past a HLT that it has taken.
func (c *vcpu) atHalt(s *hypervisor.State) bool {
	const hlt = 0xF4
	at := linearRIP(s)
	for _, a := range [...]uint64{at - 1, at} {
		if b := c.fetch(a, 1); len(b) == 1 && b[0] == hlt {
			return true
		}
	}
	return false
}

// linearRIP is the linear address of the instruction at RIP.
func linearRIP(s *hypervisor.State) uint64 {
	if s.CS.L {
		return s.RIP
	}
	return (s.CS.Base + s.RIP) & 0xFFFFFFFF
}

// fetch reads at most n bytes at a linear address, up to the end of its page;
// nil where there is no RAM. The guest may change the bytes meanwhile.
func (c *vcpu) fetch(linear, n uint64) []byte {
	phys, ok := c.proc.Translate(linear)
	if !ok {
		return nil
	}
	b, err := c.mem.Slice(phys, min(n, memory.PageSize-uint64(phys)%memory.PageSize))
	if err != nil {
		return nil
	}
	return b
}
