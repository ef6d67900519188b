package mayfly

import (
	"context"
	"fmt"
	"time"

	"github.com/mayfly-vm/mayfly/cpu"
	"github.com/mayfly-vm/mayfly/device/serial"
	"github.com/mayfly-vm/mayfly/timeline"
)

// conduct follows a machine from its start to its end, over its restarts.
func (vm *VM) conduct(ctx context.Context, b *board) {
	restarts := 0
	for {
		b.watch(ctx)
		b.running.Wait()
		<-b.attached
		b.endOnce.Do(func() {}) // waits until the one who ended it has kicked everybody
		vm.recordExits(b)
		o, err := b.outcome, b.err
		if b.signs.panicked.Load() && o.Reason != Killed && o.Reason != HostError {
			o = Outcome{Reason: Panicked, Detail: "the guest's console has its last words"}
		}
		b.dismantle()
		if o.Reason == Rebooted && vm.cfg.OnReboot == RebootRestart {
			var next *board
			if next, err = vm.restart(); err == nil {
				restarts++
				b = next
				continue
			}
			o = Outcome{Reason: HostError, Detail: err.Error()}
		}
		o.Restarts = restarts
		vm.finish(o, err)
		return
	}
}

// restart lays memory and image anew and starts from the beginning.
func (vm *VM) restart() (*board, error) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if err := vm.mem.Reset(); err != nil {
		return nil, err
	}
	vm.cfg.Timeline.Mark("restart")
	b, err := vm.assemble()
	if err != nil {
		return nil, fmt.Errorf("restart in place: %w", err)
	}
	vm.board = b
	if vm.pauses > 0 {
		b.pause()
	}
	vm.console.connect(b.serial)
	return b, nil
}

func (vm *VM) finish(o Outcome, err error) {
	vm.cfg.Timeline.Mark("end: " + o.Reason.String())
	vm.mu.Lock()
	vm.state, vm.board = stateEnded, nil
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
	firstLook, lastLook = 500 * time.Millisecond, 32 * time.Second
)

// watch returns when the board has ended, and ends it where nothing else will:
// with the context, after a panic, or when every processor has stopped for good.
func (b *board) watch(ctx context.Context) {
	wait := firstLook
	t := time.NewTimer(wait)
	defer t.Stop()
	var grace <-chan time.Time
	var before uint64
	for {
		select {
		case <-b.ended:
			return
		case <-ctx.Done():
			b.end(Outcome{Reason: Killed, Detail: ctx.Err().Error()})
			return
		case <-b.signs.panicSeen:
			g := time.NewTimer(panicGrace)
			defer g.Stop()
			grace = g.C
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

// Words by which a Linux guest tells where it is.
var guestWords = []string{"Run /init as init process", "Kernel panic - not syncing", "reboot: System halted", "reboot: Restarting system"}

func (b *board) newScanner() (*serial.Scanner, error) {
	return serial.NewScanner(func(i int) {
		switch i {
		case 0:
			b.vm.cfg.Timeline.Guest(timeline.Init)
		case 1:
			b.signs.panicked.Store(true)
			select {
			case b.signs.panicSeen <- struct{}{}:
			default:
			}
		case 2:
			b.end(Outcome{Reason: Halted, Detail: "the guest said so on its console"})
		case 3:
			b.signs.restarting.Store(true)
		}
	}, guestWords...)
}

func (vm *VM) recordExits(b *board) {
	if vm.cfg.Timeline == nil {
		return
	}
	for _, c := range b.cpus {
		var list []timeline.Exit
		for k := range c.exits {
			if n := c.exits[k].Load(); n > 0 {
				list = append(list, timeline.Exit{Kind: cpu.ExitKind(k).String(), Count: n})
			}
		}
		vm.cfg.Timeline.SetExits(c.id, list)
	}
}
