package vpci

import (
	"errors"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
)

// Bind makes writes to queue i's notification register ring bell, wherever the
// BAR is. Where the processors' side has no doorbells the writes come to Write.
func (t *Transport) Bind(i int, bell *eventfd.FD) error {
	t.bellMu.Lock()
	defer t.bellMu.Unlock()
	t.bells[i] = bell
	if t.base == 0 {
		return nil
	}
	err := t.fabric.Bind(t.doorbell(i))
	if errors.Is(err, bus.ErrNoDoorbell) {
		return nil
	}
	if err != nil {
		t.bells[i] = nil
	}
	return err
}

// Unbind ends a Bind.
func (t *Transport) Unbind(i int, _ *eventfd.FD) {
	t.bellMu.Lock()
	defer t.bellMu.Unlock()
	if t.bells[i] != nil && t.base != 0 {
		_ = t.fabric.Unbind(t.doorbell(i)) // where none was bound none is missed
	}
	t.bells[i] = nil
}

// doorbell takes a write of any width: each queue has an address of its own, and
// KVM finds such a one fastest.
func (t *Transport) doorbell(i int) bus.Doorbell {
	return bus.Doorbell{Addr: t.base + notifyAt + notifyFactor*uint64(i), FD: t.bells[i].FD()}
}

// Moved takes the doorbells along. One that can't be bound at the new place is
// replaced by Write.
func (t *Transport) Moved(_ int, addr uint64, mapped bool) {
	t.bellMu.Lock()
	defer t.bellMu.Unlock()
	if t.base != 0 {
		for i, b := range t.bells {
			if b != nil {
				_ = t.fabric.Unbind(t.doorbell(i))
			}
		}
	}
	if t.base = 0; !mapped {
		return
	}
	t.base = addr
	for i, b := range t.bells {
		if b != nil {
			_ = t.fabric.Bind(t.doorbell(i))
		}
	}
}
