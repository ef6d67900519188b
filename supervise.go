package mayfly

import (
	"errors"
	"fmt"
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// supervise follows a machine from its start to its end, over its restarts.
func (vm *VM) supervise(b *board) {
	defer func() {
		if r := recover(); r != nil { // a defect of ours; the embedding program lives on
			err := broken("following the machine", r)
			vm.cleanupAfterPanic(b, err)
			vm.finish(Outcome{Reason: HostError, Detail: err.Error()}, err)
		}
	}()
	for restarts := 0; ; restarts++ {
		vm.pace.began = time.Now()
		b.watch()
		b.running.Wait()
		b.endOnce.Do(func() {}) // waits until the one who ended it has kicked everybody
		vm.recordExits(b)
		next, o, err := vm.endBoot(b, restarts)
		if next == nil {
			vm.finish(o, err)
			return
		}
		b = next
	}
}

// endBoot takes an ended board down and returns the next one, or nil and how the
// machine ended.
func (vm *VM) endBoot(b *board, restarts int) (next *board, o Outcome, err error) {
	o, err = b.outcome, b.err
	if b.signs.explainsEnd(o.Reason) {
		o = Outcome{Reason: Panicked, Detail: "its message is on the guest's console"}
	}
	again := o.Reason == Rebooted && vm.cfg.OnReboot == RebootRestart
	if !again {
		o = vm.explain(o)
		o.Restarts = restarts
	}
	vm.mu.Lock()
	if vm.board = nil; !again {
		vm.final, vm.finalErr = &o, err
	}
	vm.mu.Unlock()
	vm.down = b
	b.dismantle()
	if !again {
		return nil, o, err
	}
	vm.paceRestart()
	o = Outcome{Reason: Killed, Restarts: restarts}
	if vm.wasKilled(&o) {
		return nil, o, nil
	}
	next, err = vm.restart()
	switch {
	case err == nil:
		vm.launch(next)
		return next, Outcome{}, nil
	case vm.wasKilled(&o):
		return nil, o, nil
	case errors.As(err, new(changedError)):
		return nil, Outcome{Reason: ImageChanged, Detail: "at a restart: " + err.Error(), Restarts: restarts}, nil
	}
	return nil, Outcome{Reason: HostError, Detail: err.Error(), Restarts: restarts}, err
}

// wasKilled tells whether the machine was killed, and gives o the reason.
func (vm *VM) wasKilled(o *Outcome) bool {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	o.Detail = vm.killing
	return vm.killed
}

// launch lets a board run, as what was asked for while there was none has it.
func (vm *VM) launch(b *board) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	vm.board = b
	if vm.pressed {
		vm.pressed = false
		b.power.PressButton()
	}
	if vm.pauses > 0 { // not one instruction
		b.hold()
	}
	if vm.killed {
		b.end(Outcome{Reason: Killed, Detail: vm.killing})
	}
	b.run()
}

// cleanupAfterPanic takes a board down that its supervisor has left by a panic, so
// that nothing of it runs on or stays open: not a second time, where taking it down
// is what failed.
func (vm *VM) cleanupAfterPanic(b *board, err error) {
	defer func() { _ = recover() }() // the first defect is the one to report
	b.fail(err)
	b.running.Wait()
	vm.mu.Lock()
	vm.board = nil
	vm.mu.Unlock()
	if vm.down != b {
		vm.down = b
		b.dismantle()
	}
}

// restart lays memory and image anew and starts from the beginning.
func (vm *VM) restart() (*board, error) {
	vm.cfg.Timeline.Mark("restart")
	if err := vm.changedFile(false); err != nil { // the plan is of another file
		return nil, err
	}
	if vm.cfg.HugePages || vm.cfg.Prealloc {
		// Memory that was promised beforehand is asked for again as it was: older
		// kernels refuse to empty huge pages of the pool, or forget their reservation.
		if err := vm.mem.Close(); err != nil {
			return nil, fmt.Errorf("restart in place: %w", err)
		}
		vm.mem = nil
	} else if err := vm.mem.Reset(); err != nil {
		return nil, fmt.Errorf("restart in place: %w", err)
	}
	b, err := vm.assemble()
	if err != nil {
		return nil, fmt.Errorf("restart in place: %w", err)
	}
	return b, nil
}

// finish ends the machine. Input stops first, and what the guest wrote last gets
// its time to go out: little where the machine was killed.
func (vm *VM) finish(o Outcome, err error) {
	vm.console.stop()
	if !errors.As(err, new(*brokenError)) { // which may have left the device locked
		o.Lost, o.LostCause = vm.closeOutput(o.Reason == Killed)
	}
	vm.cfg.Timeline.Mark("end: " + o.Reason.String())
	vm.mu.Lock()
	defer vm.mu.Unlock()
	vm.port = nil
	vm.publish(o, err)
}

// recordExits adds a board's exits to those of the boards before.
func (vm *VM) recordExits(b *board) {
	if vm.cfg.Timeline == nil {
		return
	}
	for _, c := range b.cpus {
		for k := range c.exits {
			vm.cfg.Timeline.Count(c.id, hypervisor.ExitKind(k).String(), c.exits[k].Load())
		}
	}
}
