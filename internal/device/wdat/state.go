package wdat

import (
	"fmt"
	"time"
)

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what a watchdog remembers.
type State struct {
	Version int
	Running bool          // the countdown runs: register +0, bit 0
	Fired   bool          // register +12, bit 0
	Count   uint32        // register +4: MinCount to MaxCount periods
	Left    time.Duration // ns until it expires, at most Count periods; 0 when it does not run
}

// State returns a *State. The watchdog should be paused; else Left is that of the
// moment.
func (d *Device) State() any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &State{StateVersion, d.running, d.fired, d.count, d.remaining()}
}

// SetState takes a *State, checks it and leaves the watchdog as it is when it
// returns an error. Otherwise the watchdog is paused; Resume continues the
// countdown with the time that was left.
func (d *Device) SetState(v any) error {
	s, ok := v.(*State)
	switch {
	case !ok || s == nil:
		return fmt.Errorf("wdat: the saved state is a %T, not a watchdog's", v)
	case s.Version != StateVersion:
		return fmt.Errorf("wdat: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case s.Count < MinCount || s.Count > MaxCount:
		return fmt.Errorf("wdat: the saved Count is %d periods; it has %d to %d", s.Count, MinCount, MaxCount)
	case s.Left < 0 || s.Left > time.Duration(s.Count)*Period:
		return fmt.Errorf("wdat: the saved Left is %v of a countdown of %d periods of %v", s.Left, s.Count, Period)
	case !s.Running && s.Left != 0:
		return fmt.Errorf("wdat: the saved Left is %v of a countdown that does not run", s.Left)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
	d.paused = true
	d.running, d.fired, d.count, d.left = s.Running, s.Fired, s.Count, s.Left
	return nil
}
