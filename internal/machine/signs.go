package machine

import (
	"sync/atomic"
	"time"
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
