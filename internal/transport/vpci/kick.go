package vpci

import (
	"errors"

	"github.com/mayfly-vm/mayfly/internal/bus"
)

// Bind makes writes to queue i's notification register signal the eventfd kick,
// wherever the BAR is. Where the host has no ioeventfds the writes come to Write.
func (t *Transport) Bind(i, kick int) error {
	t.kickMu.Lock()
	defer t.kickMu.Unlock()
	t.kicks[i] = kick
	if t.base == 0 {
		return nil
	}
	err := t.fabric.Bind(t.ioEvent(i))
	if errors.Is(err, bus.ErrNoIOEvent) {
		return nil
	}
	if err != nil {
		t.kicks[i] = noKick
	}
	return err
}

// Unbind ends a Bind.
func (t *Transport) Unbind(i, _ int) {
	t.kickMu.Lock()
	defer t.kickMu.Unlock()
	if t.kicks[i] != noKick && t.base != 0 {
		_ = t.fabric.Unbind(t.ioEvent(i)) // fails where the host has no ioeventfds
	}
	t.kicks[i] = noKick
}

// ioEvent takes a write of any width: each queue has an address of its own, and KVM
// finds such an ioeventfd fastest.
func (t *Transport) ioEvent(i int) bus.IOEvent {
	return bus.IOEvent{Addr: t.base + notifyAt + notifyFactor*uint64(i), FD: t.kicks[i]}
}

// Moved moves the ioeventfds. One that can't be bound at the new place is
// replaced by Write.
func (t *Transport) Moved(_ int, addr uint64, mapped bool) {
	t.kickMu.Lock()
	defer t.kickMu.Unlock()
	if t.base != 0 {
		for i, kick := range t.kicks {
			if kick != noKick {
				_ = t.fabric.Unbind(t.ioEvent(i))
			}
		}
	}
	if t.base = 0; !mapped {
		return
	}
	t.base = addr
	for i, kick := range t.kicks {
		if kick != noKick {
			_ = t.fabric.Bind(t.ioEvent(i))
		}
	}
}
