package mayfly

import (
	"sync/atomic"
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// signs is what the guest was seen to say about itself, on its console or by
// pvpanic. Any process in the guest can say the same: a sign never ends a
// machine. It has the supervisor sample the vCPUs, and it names an end that has
// come by itself.
type signs struct {
	panicked   atomic.Bool  // said so, and not seen alive since
	lively     atomic.Bool  // at the latest sample after that
	restarting atomic.Int64 // when it said that it restarts, in Unix nanoseconds; 0: it did not
	panicSeen  chan struct{}
	haltSeen   chan struct{}
}

func (s *signs) init() {
	s.panicSeen, s.haltSeen = make(chan struct{}, 1), make(chan struct{}, 1)
}

// sayPanic notes that the guest says that its kernel has panicked.
func (s *signs) sayPanic() {
	s.restarting.Store(0)
	s.lively.Store(false)
	s.panicked.Store(true)
	notify(s.panicSeen)
}

// sayHalt notes that the guest says that it halts. A kernel that has panicked
// stops without that.
func (s *signs) sayHalt() {
	s.panicked.Store(false)
	notify(s.haltSeen)
}

// sayRestart notes that the guest says that it restarts. A kernel that has
// panicked restarts without that.
func (s *signs) sayRestart() {
	s.panicked.Store(false)
	s.restarting.Store(time.Now().UnixNano())
}

// restartLimit is how long after its message a restart may take.
const restartLimit = 30 * time.Second

// explainsReset tells whether a triple fault is a restart that was announced.
func (s *signs) explainsReset() bool {
	at := s.restarting.Load()
	return at != 0 && time.Since(time.Unix(0, at)) < restartLimit
}

// explainsEnd tells whether an end that came by itself is that of a panic.
// Switching off by ACPI is not: a panicked kernel only resets, crashes or stops.
func (s *signs) explainsEnd(r Reason) bool {
	if !s.panicked.Load() || s.lively.Load() {
		return false
	}
	switch r {
	case Halted, Rebooted, TripleFault, Panicked:
		return true
	}
	return false
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// watch returns when the board has ended, and ends it where nothing else will:
// when every vCPU has stopped for good, or when the kernel has panicked and spins.
func (b *board) watch() {
	halt := haltWatch{wait: firstPoll}
	t := time.NewTimer(halt.wait)
	defer t.Stop()
	var panicked panicWatch
	var panicTimer, rest <-chan time.Time
	if b.partial.Load() {
		rest = time.After(b.restGrace())
	}
	for {
		select {
		case <-rest:
			b.complete()
		case <-b.ended:
			return
		case <-b.signs.panicSeen:
			if panicked.begin(panicTimer != nil) {
				panicTimer = time.After(panicPoll)
			}
		case <-panicTimer:
			panicTimer = nil
			switch panicked.poll(b) {
			case panicBelieved:
				b.end(Outcome{Reason: Panicked})
				return
			case panicOpen:
				panicTimer = time.After(panicked.wait)
			}
		case <-b.signs.haltSeen:
			halt.soon = haltPolls
			t.Reset(haltPoll)
		case <-t.C:
			if halt.poll(b) {
				b.end(Outcome{Reason: Halted, Detail: "every processor stopped with interrupts off"})
				return
			}
			t.Reset(halt.wait)
		}
	}
}

func (b *board) totalExits() (n uint64) {
	for _, c := range b.cpus {
		n += c.total.Load() - c.exits[hypervisor.ExitKicked].Load()
	}
	return n
}

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
func (h *haltWatch) poll(b *board) bool {
	now := b.totalExits()
	quiet := now == h.exits
	h.exits = now
	if !quiet { // it lives
		h.samples, h.backoff = 0, firstPoll
		h.next(h.backoff)
		return false
	}
	stopped, stalled := 0, 0
	list, ok := b.sample()
	for i := range list {
		if list[i].stopped() {
			stopped++
		}
		if list[i].activity == hypervisor.Stalled {
			stalled++
		}
	}
	switch {
	case ok && stalled == len(b.cpus):
		return true
	case ok && stopped == len(b.cpus):
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
func (p *panicWatch) poll(b *board) panicVerdict {
	if !b.signs.panicked.Load() { // it restarts in good order
		return panicRefuted
	}
	exits, work := b.totalExits(), b.queueWork()
	silent := exits == p.exits && work == p.work
	p.exits, p.work = exits, work
	list, ok := b.sample()
	if !ok {
		p.rips = p.rips[:0]
		return panicOpen
	}
	v := p.judge(list, silent)
	b.signs.lively.Store(p.lively > 0)
	if v == panicRefuted {
		b.signs.panicked.Store(false)
	}
	return v
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

// queueWork changes when a driver has given a device work, for which there is no
// exit where an ioeventfd takes the kick.
func (b *board) queueWork() (n uint64) {
	for _, s := range b.seats {
		n += s.instance.Work()
	}
	return n
}
