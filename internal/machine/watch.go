package machine

import "time"

// watcher ends a machine where nothing else will: when every vCPU has stopped for
// good, or when the kernel has panicked and spins.
type watcher struct {
	vcpus *vcpus
	signs *signs
	late  *lateMemory
	// work changes when a driver has given a device work, for which there is no exit
	// where an ioeventfd takes the kick.
	work  func() uint64
	ended <-chan struct{}
}

// watch returns nil when the machine has ended, or how it ends.
func (w *watcher) watch() *ending {
	halt := haltWatch{wait: firstPoll}
	t := time.NewTimer(halt.wait)
	defer t.Stop()
	var panicked panicWatch
	var panicTimer, late <-chan time.Time
	if w.late.pending.Load() {
		late = time.After(w.late.grace())
	}
	for {
		select {
		case <-late:
			if end := w.late.complete(); end != nil {
				return end
			}
		case <-w.late.wanted:
			if end := w.late.complete(); end != nil {
				return end
			}
		case <-w.ended:
			return nil
		case <-w.signs.panicSeen:
			if panicked.begin(panicTimer != nil) {
				panicTimer = time.After(panicPoll)
			}
		case <-panicTimer:
			panicTimer = nil
			switch panicked.poll(w.vcpus, w.signs, w.work()) {
			case panicBelieved:
				return &ending{Outcome: Outcome{Reason: Panicked}}
			case panicOpen:
				panicTimer = time.After(panicked.wait)
			}
		case <-w.signs.haltSeen:
			halt.soon = haltPolls
			t.Reset(haltPoll)
		case <-t.C:
			if halt.poll(w.vcpus) {
				return &ending{Outcome: Outcome{Reason: Halted, Detail: "every vCPU stopped with interrupts off"}}
			}
			t.Reset(halt.wait)
		}
	}
}
