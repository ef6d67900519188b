package machine

import (
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// Times and counts by which a panic is believed or not.
const (
	panicPoll     = time.Second // between two samples
	panicPollMost = 16 * time.Second
	panicSamples  = 5       // that must agree …
	panicWindow   = 8       // … of so many: an interrupt's handler runs now and then
	panicRange    = 4 << 10 // bytes of code in which they agree
	panicLively   = 6       // samples in a row of a guest that lives: it is believed to
)

// panicWatch finds out whether a guest that says so has panicked and spins, as
// Linux does with panic=0: with interrupts on, in a delay loop.
type panicWatch struct {
	exits, work uint64
	rips        []uint64 // of the latest samples that may be those of a panic
	lively      int      // samples in a row
	wait        time.Duration
}

// begin takes up a message, and tells whether the next sample is to be taken
// panicPoll from now. pending: there was one before that is still open; a guest may
// say it as often as it likes.
func (p *panicWatch) begin(pending bool) bool {
	soon := !pending || p.wait > panicPoll
	if !pending {
		p.rips = p.rips[:0]
	}
	p.wait, p.lively = panicPoll, 0
	return soon
}

type panicVerdict int

const (
	panicOpen panicVerdict = iota
	panicBelieved
	panicRefuted
)

// poll takes a sample. Whatever is no panicked kernel's begins the count anew.
func (p *panicWatch) poll(v *vcpus, s *signs, work uint64) panicVerdict {
	if !s.panicked.Load() { // it restarts in good order
		return panicRefuted
	}
	exits := v.exits()
	silent := exits == p.exits && work == p.work
	p.exits, p.work = exits, work
	list, ok := v.sample()
	if !ok {
		p.rips = p.rips[:0]
		return panicOpen
	}
	verdict := p.judge(list, silent)
	// One sample may fall between the message and the stop of the other vCPUs, which
	// the console delays: it takes two to doubt the message.
	s.lively.Store(p.lively > 1)
	if verdict == panicRefuted {
		s.panicked.Store(false)
	}
	return verdict
}

// judge adds a sample of every vCPU. silent: since the one before there was no
// exit and no work for a device.
func (p *panicWatch) judge(list []sample, silent bool) panicVerdict {
	rip, spins, lives := spinning(list)
	if lives {
		p.rips = p.rips[:0]
		p.wait = min(2*p.wait, panicPollMost)
		if p.lively++; p.lively == panicLively {
			return panicRefuted
		}
		return panicOpen
	}
	p.lively, p.wait = 0, panicPoll
	if !silent || !spins {
		p.rips = p.rips[:0]
		return panicOpen
	}
	if len(p.rips) == panicWindow {
		p.rips = append(p.rips[:0], p.rips[1:]...)
	}
	p.rips = append(p.rips, rip)
	if agree(p.rips) >= panicSamples {
		return panicBelieved
	}
	return panicOpen
}

// spinning tells whether one vCPU runs at CPL 0 and all others have stopped, and
// where it is. lives: one is in user mode, or waits for an interrupt, which no
// panicked kernel does.
func spinning(list []sample) (rip uint64, spins, lives bool) {
	running := 0
	for i := range list {
		s := &list[i]
		switch {
		case s.stopped():
		case s.user || s.activity == hypervisor.Idle:
			return 0, false, true
		default:
			running++
			rip = s.rip
		}
	}
	return rip, running == 1, false
}

// agree is the most of the addresses that lie in one range of code.
func agree(rips []uint64) (most int) {
	for _, from := range rips {
		n := 0
		for _, r := range rips {
			if r-from < panicRange { // r >= from, else it wraps around
				n++
			}
		}
		most = max(most, n)
	}
	return most
}
