package vmgenid

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/memory"
)

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what a restored machine needs of the saved one. The id is no part of it:
// a restored machine has another one.
type State struct {
	Version int
	// Addr is the id's guest-physical address, a multiple of Align, which the saved
	// guest was given by ACPI.
	Addr uint64
}

// State returns a *State.
func (d *Device) State() any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &State{StateVersion, uint64(d.cfg.Addr)}
}

// SetState takes a *State, writes a new id to the saved address and notifies the
// guest. It is called after guest memory and the device that notifies the guest
// (package power) were restored. If the state is not accepted, it leaves the device
// as it is.
func (d *Device) SetState(v any) error {
	s, ok := v.(*State)
	switch {
	case !ok || s == nil:
		return fmt.Errorf("vmgenid: the saved state is a %T, not a generation id's", v)
	case s.Version != StateVersion:
		return fmt.Errorf("vmgenid: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case s.Addr%Align != 0:
		return fmt.Errorf("vmgenid: the saved Addr is %#x, no multiple of %d", s.Addr, Align)
	}
	if _, err := d.cfg.Memory.Slice(memory.Addr(s.Addr), Size); err != nil {
		return fmt.Errorf("vmgenid: the saved Addr: %w", err)
	}
	d.mu.Lock()
	d.cfg.Addr = memory.Addr(s.Addr)
	d.mu.Unlock()
	return d.Renew()
}
