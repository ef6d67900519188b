package mayfly

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mayfly-vm/mayfly/cpu"
)

// conduct follows a machine from its start to its end, over its restarts.
func (vm *VM) conduct(ctx context.Context, b *board) {
	defer func() {
		if r := recover(); r != nil { // a defect of ours; the embedding program lives on
			err := broken("following the machine", r)
			vm.salvage(b, err)
			vm.finish(Outcome{Reason: HostError, Detail: err.Error()}, err)
		}
	}()
	for restarts := 0; ; restarts++ {
		b.watch(ctx)
		b.running.Wait()
		b.endOnce.Do(func() {}) // waits until the one who ended it has kicked everybody
		vm.recordExits(b)
		next, o, err := vm.turn(b)
		if next == nil {
			o.Restarts = restarts
			vm.finish(o, err)
			return
		}
		b = next
	}
}

// turn takes an ended board down and returns the next one, or nil and how the
// machine ended. Calls from outside wait meanwhile: there is nothing to kick, and
// a Kill must not fall between two boards.
func (vm *VM) turn(b *board) (next *board, o Outcome, err error) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	o, err = b.outcome, b.err
	if b.signs.panicked.Load() && panicExplains(o.Reason) {
		o = Outcome{Reason: Panicked, Detail: "the guest's console has its last words"}
	}
	vm.board, vm.down = nil, b
	b.dismantle()
	if o.Reason != Rebooted || vm.cfg.OnReboot != RebootRestart {
		return nil, vm.explain(o), err
	}
	if vm.killed {
		return nil, Outcome{Reason: Killed}, nil
	}
	next, err = vm.restart()
	if errors.As(err, new(changedError)) {
		return nil, Outcome{Reason: ImageChanged, Detail: "at a restart: " + err.Error()}, nil
	}
	if err != nil {
		return nil, Outcome{Reason: HostError, Detail: err.Error()}, err
	}
	return next, Outcome{}, nil
}

// salvage takes a board down that its conductor has left by a panic, so that
// nothing of it runs on or stays open: not a second time, where taking it down
// is what failed.
func (vm *VM) salvage(b *board, err error) {
	defer func() { _ = recover() }() // the first defect is the one to tell
	b.fail(err)
	b.running.Wait()
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.board = nil; vm.down != b {
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
	vm.board = b
	return b, nil
}

// panicExplains tells whether a panic seen on the console is why the machine
// ended; an end that names its own cause keeps it.
func panicExplains(r Reason) bool {
	switch r {
	case PowerOff, Halted, Rebooted, TripleFault, Panicked:
		return true
	}
	return false
}

// finish ends the machine. Input stops first, and what the guest wrote last gets
// its time to go out.
func (vm *VM) finish(o Outcome, err error) {
	vm.console.stop()
	if !errors.As(err, new(*brokenError)) { // which may have left the device locked
		o.Lost, o.LostCause = vm.closeOutput()
	}
	vm.cfg.Timeline.Mark("end: " + o.Reason.String())
	vm.mu.Lock()
	vm.state, vm.board, vm.port = stateEnded, nil, nil
	vm.result, vm.err = o, err
	vm.mu.Unlock()
	close(vm.done)
}

// Times of the watch over a running machine.
const (
	// A panicked Linux with panic=0 spins for ever; what it had to say is said.
	panicGrace = 5 * time.Second
	// The first look for a machine that has stopped for good; each look that finds
	// it idle but alive doubles the wait, up to the last.
	firstLook, lastLook = 1500 * time.Millisecond, 32 * time.Second
)

// watch returns when the board has ended, and ends it where nothing else will:
// with the context, after a panic, or when every processor has stopped for good.
func (b *board) watch(ctx context.Context) {
	wait := firstLook
	t := time.NewTimer(wait)
	defer t.Stop()
	var grace, rest <-chan time.Time
	if b.partial.Load() {
		rest = time.After(b.restGrace())
	}
	var before uint64
	for {
		select {
		case <-rest:
			b.complete()
		case <-b.ended:
			return
		case <-ctx.Done():
			b.end(Outcome{Reason: Killed, Detail: ctx.Err().Error()})
			return
		case <-b.signs.panicSeen:
			if grace == nil { // once: a guest can say the words as often as it likes
				g := time.NewTimer(panicGrace)
				defer g.Stop()
				grace = g.C
			}
		case <-grace:
			b.end(Outcome{Reason: Panicked})
			return
		case <-t.C:
			now := b.totalExits()
			if now != before { // it lives
				before, wait = now, firstLook
			} else if b.allStalled() {
				b.end(Outcome{Reason: Halted, Detail: "every processor stopped with interrupts off"})
				return
			} else {
				before, wait = b.totalExits(), min(2*wait, lastLook)
			}
			t.Reset(wait)
		}
	}
}

func (b *board) totalExits() (n uint64) {
	for _, c := range b.cpus {
		n += c.total.Load() - c.exits[cpu.ExitKicked].Load()
	}
	return n
}

// allStalled asks every processor, once, whether anything could move it on. One
// that does not answer within the time of a few kicks is busy, and so alive.
func (b *board) allStalled() bool {
	for _, c := range b.cpus {
		c.stalled.Store(false)
		c.ask.Store(true)
		c.proc.Kick()
		for deadline := time.Now().Add(50 * time.Millisecond); c.ask.Load(); time.Sleep(100 * time.Microsecond) {
			if b.stop.Load() || time.Now().After(deadline) {
				return false
			}
		}
		// ask is cleared just before stalled is set.
		for i := 0; i < 20 && !c.stalled.Load(); i++ {
			time.Sleep(100 * time.Microsecond)
		}
		if !c.stalled.Load() {
			return false
		}
	}
	return true
}

// recordExits adds a board's exits to those of the boards before.
func (vm *VM) recordExits(b *board) {
	if vm.cfg.Timeline == nil {
		return
	}
	for _, c := range b.cpus {
		for k := range c.exits {
			vm.cfg.Timeline.Count(c.id, cpu.ExitKind(k).String(), c.exits[k].Load())
		}
	}
}
