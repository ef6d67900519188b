package machine

import "time"

// Bounds of what a killed machine's end waits for. Whatever its guest has asked
// for, vCPUs and callers are free in a tenth of a second; what the host's
// kernel does not let go of is waited for by goroutines that nobody waits for, and
// keeps the memory that it moves data to.
const (
	// outputLimit is how long the readers of the serial port and then of the consoles
	// have for what is left.
	outputLimit = 20 * time.Millisecond
	// killLimit is when Wait returns although the machine is not all taken down.
	killLimit = 60 * time.Millisecond
	// closeLimit is when a Close that killed the machine returns.
	closeLimit = 80 * time.Millisecond
	// flushLimit is when a Close of a machine that ended by itself returns: consoles
	// write out what their guest has left.
	flushLimit = 5 * time.Second
)

// Kill stops the machine where it stands; Wait then tells Killed. Requests that its
// devices have under way are abandoned.
func (m *Machine) Kill() error {
	return m.whileRunning(func(*hardware) error {
		m.killLocked("")
		return nil
	})
}

// kill is Kill for a reason that Outcome.Detail gives.
func (m *Machine) kill(detail string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == Running {
		m.killLocked(detail)
	}
}

// killLocked is kill with mu held, for a machine that runs. The hardware at hand may
// have ended already, for a restart, or not be there yet.
func (m *Machine) killLocked(detail string) {
	if m.killed {
		return
	}
	m.killed, m.killing = true, detail
	close(m.killSeen)
	if m.hardware != nil {
		m.hardware.endAs(Killed, detail)
	}
	time.AfterFunc(killLimit, m.publishKilled)
}

// publishKilled ends the waiting for a killed machine, of which a vCPU, a
// device or the output still waits for the host. One that had come to its own end
// before keeps that.
func (m *Machine) publishKilled() {
	m.mu.Lock()
	p := m.serial
	m.mu.Unlock()
	if p == nil { // all is taken down, or nothing was there
		return
	}
	lost, known := p.device.Undelivered() // it may wait, and so comes without mu
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isDone() {
		return
	}
	end := ending{Outcome: Outcome{Reason: Killed, Detail: m.killing}}
	if m.final != nil {
		end = *m.final
	}
	if end.Lost = lost + undelivered(m.spec.Devices); end.Lost > 0 || !known {
		end.LostCause = errKilledBefore
	}
	m.publish(end)
}

func (m *Machine) isDone() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// publish sets how the machine ended, once; mu is held.
func (m *Machine) publish(end ending) {
	if m.isDone() {
		return
	}
	if m.state != Closed {
		m.state = Ended
	}
	m.result, m.past.end = end, time.Now()
	m.notify()
	close(m.done)
}

// Close kills the machine if it runs, and gives back all that it holds. A second
// Close does nothing.
func (m *Machine) Close() error {
	m.closed.Do(func() {
		m.mu.Lock()
		switch m.state {
		case Running:
			m.killLocked("")
		case New:
			m.publish(ending{err: ErrClosed}) // for those who Wait already
		}
		m.state = Closed
		limit := flushLimit
		if m.killed {
			limit = closeLimit
		}
		m.mu.Unlock()
		go func() {
			m.work.Wait()
			m.release()
			close(m.released)
		}()
		late := time.NewTimer(limit)
		defer late.Stop()
		select {
		case <-m.released:
		case <-late.C:
			m.publishKilled()
		}
	})
	return nil
}

// Released returns a channel that is closed when, after Close, nothing of the
// machine is left. Close itself waits for that, but not longer than a tenth of a
// second for a machine that it had to kill.
func (m *Machine) Released() <-chan struct{} { return m.released }
