package vsock

import "github.com/mayfly-vm/mayfly/virtio"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what a socket device must remember. Connections are not: their other
// ends are processes that a snapshot does not have.
type State struct {
	Version int
	CID     uint64 // the saved guest's; the restored one is told its new address
}

// State is a *State.
func (d *Device) State() any { return &State{Version: StateVersion, CID: d.cfg.CID} }

// SetState takes a *State. The driver is told at Start that its connections are
// gone.
func (d *Device) SetState(v any) error {
	s, ok := v.(*State)
	switch {
	case !ok || s == nil:
		return virtio.DeviceErrorf(name, "the saved state is a %T, not a socket device's", v)
	case s.Version != StateVersion:
		return virtio.DeviceErrorf(name, "a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	}
	d.restored = true
	return nil
}
