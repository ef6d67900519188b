package machine

import (
	"errors"
	"fmt"
	"time"
)

// supervise follows a machine from its start to its end, over its restarts.
func (m *Machine) supervise(h *hardware) {
	defer func() {
		if r := recover(); r != nil { // a defect of ours; the embedding program lives on
			err := broken("supervising the machine", r)
			m.cleanupAfterPanic(h, err)
			m.finish(*failure(err))
		}
	}()
	for restarts := 0; ; restarts++ {
		m.pace.began = time.Now()
		h.watch()
		h.running.Wait()
		h.endOnce.Do(func() {}) // waits until the one who ended it has kicked everybody
		h.vcpus.record(m.spec.Timeline)
		next, end := m.endBoot(h, restarts)
		if next == nil {
			m.finish(end)
			return
		}
		h = next
	}
}

// endBoot closes hardware that has ended and returns the next, or nil and how the
// machine ended.
func (m *Machine) endBoot(h *hardware, restarts int) (next *hardware, end ending) {
	end = h.outcome
	if h.signs.explainsEnd(end.Reason) {
		end.Outcome = Outcome{Reason: Panicked, Detail: "its message is on the guest's console"}
	}
	again := end.Reason == Rebooted && !m.spec.ExitOnReboot
	if !again {
		end.Outcome = m.spec.explain(end.Outcome)
		end.Restarts = restarts
	}
	m.mu.Lock()
	m.setHardware(nil)
	if m.past.add(&h.vcpus); !again {
		m.final = &end
	}
	m.mu.Unlock()
	m.closing = h
	h.close(m.serial)
	if !again {
		return nil, end
	}
	m.paceRestart()
	end = ending{Outcome: Outcome{Reason: Killed, Restarts: restarts}}
	if m.wasKilled(&end.Outcome) {
		return nil, end
	}
	next, err := m.restart(h.expired)
	switch {
	case err == nil:
		m.launch(next, restarts+1)
		return next, ending{}
	case m.wasKilled(&end.Outcome):
		return nil, end
	case errors.As(err, new(changedError)):
		return nil, ending{Outcome: Outcome{Reason: ImageChanged, Detail: "at a restart: " + err.Error(), Restarts: restarts}}
	}
	end = *failure(err)
	end.Restarts = restarts
	return nil, end
}

// wasKilled tells whether the machine was killed, and gives o the reason.
func (m *Machine) wasKilled(o *Outcome) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	o.Detail = m.killing
	return m.killed
}

// launch lets hardware run, after so many restarts, and applies what was asked for while
// there was none.
func (m *Machine) launch(h *hardware, restarts int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.past.restarts = restarts
	m.setHardware(h)
	if m.pressed {
		m.pressed = false
		h.power.PressButton()
	}
	if m.pauses > 0 { // not one instruction
		h.hold()
	}
	if m.killed {
		h.endAs(Killed, m.killing)
	}
	h.run()
}

// cleanupAfterPanic closes hardware that its supervisor has left by a panic, so
// that nothing of it runs on or stays open: not a second time, where closing it
// is what failed.
func (m *Machine) cleanupAfterPanic(h *hardware, err error) {
	defer func() { _ = recover() }() // the first defect is the one to report
	h.end(*failure(err))
	h.running.Wait()
	m.mu.Lock()
	m.setHardware(nil)
	m.mu.Unlock()
	if m.closing != h {
		m.closing = h
		h.close(m.serial)
	}
}

// restart loads memory again and starts from the beginning.
func (m *Machine) restart(expired bool) (*hardware, error) {
	m.spec.Timeline.Mark("restart")
	if err := m.spec.changedFile(false); err != nil { // the plan is of another file
		return nil, err
	}
	if m.spec.HugePages || m.spec.Prealloc {
		// Memory that was promised beforehand is asked for again as it was: older
		// kernels refuse to empty huge pages of the pool, or forget their reservation.
		if err := m.mem.Close(); err != nil {
			return nil, fmt.Errorf("restart in place: %w", err)
		}
		m.mem = nil
	} else if err := m.mem.Reset(); err != nil {
		return nil, fmt.Errorf("restart in place: %w", err)
	}
	h, err := m.assemble(expired)
	if err != nil {
		return nil, fmt.Errorf("restart in place: %w", err)
	}
	return h, nil
}

// finish ends the machine. Input stops first, and what the guest wrote last gets
// its time to go out: little where the machine was killed.
func (m *Machine) finish(end ending) {
	m.console.stop()
	if !errors.As(end.err, new(*brokenError)) { // which may have left the device locked
		end.Lost, end.LostCause = closeOutput(m.serial, m.spec.Devices, end.Reason == Killed)
	}
	m.spec.Timeline.Mark("end: " + string(end.Reason))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serial = nil
	m.publish(end)
}
