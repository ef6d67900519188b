package i8042

import "fmt"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what a controller remembers.
type State struct {
	Version int
	// Polls is the number of reads of the status since the last command, 0 to 65;
	// more count as 65. From 65 on the controller reads as ready.
	Polls uint32
}

// State returns a *State.
func (d *Device) State() any {
	return &State{StateVersion, min(d.polls.Load(), absentReads+1)}
}

// SetState takes a *State, checks it and leaves the device as it is when it
// returns an error.
func (d *Device) SetState(v any) error {
	s, ok := v.(*State)
	switch {
	case !ok || s == nil:
		return fmt.Errorf("i8042: the saved state is a %T, not a keyboard controller's", v)
	case s.Version != StateVersion:
		return fmt.Errorf("i8042: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case s.Polls > absentReads+1:
		return fmt.Errorf("i8042: the saved Polls is %d; at most %d are counted", s.Polls, absentReads+1)
	}
	d.polls.Store(s.Polls)
	return nil
}
