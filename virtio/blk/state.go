package blk

import "github.com/mayfly-vm/mayfly/virtio"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what a disk must remember beyond its rings. Its contents are its
// image's.
type State struct {
	Version   int
	Writeback bool  // the driver's choice
	Capacity  int64 // bytes; the image that the state is restored to must have them
}

// State is a *State.
func (d *Device) State() any {
	return &State{Version: StateVersion, Writeback: d.writeback.Load(), Capacity: d.capacity.Load()}
}

// SetState takes a *State.
func (d *Device) SetState(v any) error {
	s, ok := v.(*State)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !ok || s == nil:
		return virtio.DeviceErrorf(d.config.DeviceName(), "the saved state is a %T, not a disk's", v)
	case s.Version != StateVersion:
		return virtio.DeviceErrorf(d.config.DeviceName(), "a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case s.Capacity != d.capacity.Load():
		return virtio.DeviceErrorf(d.config.DeviceName(), "has %d bytes, and the saved guest saw %d: another image?", d.capacity.Load(), s.Capacity)
	}
	d.writeback.Store(s.Writeback)
	return nil
}
