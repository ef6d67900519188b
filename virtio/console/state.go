package console

import "github.com/mayfly-vm/mayfly/virtio"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what a console must remember.
type State struct {
	Version int
	Ready   bool // the driver wants to hear of ports
	Ports   []PortState
}

// PortState is a port's part.
type PortState struct {
	Todo             uint8 // what the driver has not been told yet
	Ready, GuestOpen bool
	HostOpen         bool // as the driver knows it
	Cols, Rows       uint16
	Skip             int    // bytes of the next chain from the guest that were taken
	Input            []byte // on its way to the guest
}

// State is a *State.
func (d *Device) State() any {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &State{Version: StateVersion, Ready: d.ready}
	for _, p := range d.ports {
		p.in.mu.Lock()
		s.Ports = append(s.Ports, PortState{Todo: uint8(p.todo), Ready: p.ready, GuestOpen: p.guestOpen, HostOpen: p.hostOpen,
			Cols: p.cols, Rows: p.rows, Skip: p.skip, Input: p.in.ring.bytes()})
		p.in.mu.Unlock()
	}
	return s
}

// SetState takes a *State.
func (d *Device) SetState(v any) error {
	s, ok := v.(*State)
	switch {
	case !ok || s == nil:
		return virtio.DeviceErrorf(name, "the saved state is a %T, not a console's", v)
	case s.Version != StateVersion:
		return virtio.DeviceErrorf(name, "a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case len(s.Ports) != len(d.ports):
		return virtio.DeviceErrorf(name, "the saved state has %d ports, the device %d", len(s.Ports), len(d.ports))
	}
	for i := range s.Ports {
		if p := &s.Ports[i]; p.Skip < 0 || len(p.Input) > ringSize {
			return virtio.DeviceErrorf(name, "port %d: the saved state has %d bytes of input and %d of output taken", i, len(p.Input), p.Skip)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ready, d.session = s.Ready, nil
	for i, p := range d.ports {
		q := &s.Ports[i]
		p.todo, p.ready, p.guestOpen, p.skip = todo(q.Todo), q.Ready, q.GuestOpen, q.Skip
		p.cols, p.rows = q.Cols, q.Rows
		if p.hostOpen != q.HostOpen && p.ready {
			p.todo |= doOpen
		}
		p.in.mu.Lock()
		p.in.ring.drop(p.in.ring.n)
		p.in.ring.put(q.Input)
		p.in.mu.Unlock()
	}
	d.window.Store(uint32(s.Ports[0].Cols) | uint32(s.Ports[0].Rows)<<16)
	return nil
}
