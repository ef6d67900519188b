package mayfly

import "time"

// Bounds of what a killed machine's end waits for. Whatever its guest has asked
// for, processors and callers are free in a tenth of a second; what the host's
// kernel does not let go of is waited for by goroutines that nobody waits for, with
// the memory that it moves data to.
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
func (vm *VM) Kill() error {
	return vm.whileRunning(func(*board) error {
		vm.killLocked("")
		return nil
	})
}

// kill is Kill for a reason that Outcome.Detail gives.
func (vm *VM) kill(detail string) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.state == stateRunning {
		vm.killLocked(detail)
	}
}

// killLocked is kill with mu held, for a machine that runs. The board at hand may
// have ended already, for a restart, or not be there yet.
func (vm *VM) killLocked(detail string) {
	if vm.killed {
		return
	}
	vm.killed, vm.killing = true, detail
	close(vm.killSeen)
	if vm.board != nil {
		vm.board.end(Outcome{Reason: Killed, Detail: detail})
	}
	time.AfterFunc(killLimit, vm.publishKilled)
}

// publishKilled ends the waiting for a killed machine, of which a processor, a
// device or the output still waits for the host. One that had come to its own end
// before keeps that.
func (vm *VM) publishKilled() {
	vm.mu.Lock()
	p := vm.port
	vm.mu.Unlock()
	if p == nil { // all is taken down, or nothing was there
		return
	}
	lost, known := p.serial.Undelivered() // it may wait, and so comes without mu
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.isDone() {
		return
	}
	o, err := Outcome{Reason: Killed, Detail: vm.killing}, error(nil)
	if vm.final != nil {
		o, err = *vm.final, vm.finalErr
	}
	if o.Lost = lost + vm.undelivered(); o.Lost > 0 || !known {
		o.LostCause = errKilledBefore
	}
	vm.publish(o, err)
}

func (vm *VM) isDone() bool {
	select {
	case <-vm.done:
		return true
	default:
		return false
	}
}

// publish sets how the machine ended, once; mu is held.
func (vm *VM) publish(o Outcome, err error) {
	if vm.isDone() {
		return
	}
	if vm.state != stateClosed {
		vm.state = stateEnded
	}
	vm.result, vm.err = o, err
	close(vm.done)
}

// Close kills the machine if it runs, and gives back all that it holds. A second
// Close does nothing.
func (vm *VM) Close() error {
	vm.closed.Do(func() {
		vm.mu.Lock()
		switch vm.state {
		case stateRunning:
			vm.killLocked("")
		case stateNew:
			vm.publish(Outcome{}, ErrClosed) // for those who Wait already
		}
		vm.state = stateClosed
		limit := flushLimit
		if vm.killed {
			limit = closeLimit
		}
		vm.mu.Unlock()
		go func() {
			vm.work.Wait()
			vm.release()
			close(vm.released)
		}()
		late := time.NewTimer(limit)
		defer late.Stop()
		select {
		case <-vm.released:
		case <-late.C:
			vm.publishKilled()
		}
	})
	return nil
}

// Released returns a channel that is closed when, after Close, nothing of the
// machine is left. Close itself waits for that, but not longer than a tenth of a
// second for a machine that it had to kill.
func (vm *VM) Released() <-chan struct{} { return vm.released }
