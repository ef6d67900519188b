package power

import "fmt"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what the device remembers.
type State struct {
	Version int
	// Events is the register at offset 3: bit 0 the button, bit 1 the generation id.
	// The other bits are 0. The interrupt line is high while it is not 0.
	Events uint8
}

// State returns a *State.
func (d *Device) State() any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &State{StateVersion, d.events}
}

// SetState takes a *State, checks it and leaves the device as it is when it
// returns an error. It drives the line; the I/O APIC, which knows the line's old
// level, is restored before.
func (d *Device) SetState(v any) error {
	s, ok := v.(*State)
	switch {
	case !ok || s == nil:
		return fmt.Errorf("power: the saved state is a %T, not a power device's", v)
	case s.Version != StateVersion:
		return fmt.Errorf("power: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case s.Events&^allEvents != 0:
		return fmt.Errorf("power: the saved Events is %#x; only bits %#x are defined", s.Events, allEvents)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = s.Events
	d.cfg.Line.Set(s.Events != 0)
	return nil
}
