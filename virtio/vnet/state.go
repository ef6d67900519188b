package vnet

import "github.com/mayfly-vm/mayfly/virtio"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what a card must remember beyond its rings.
type State struct {
	Version  int
	MAC      MAC
	MTU      int
	Pulled   bool           // SetLink(false)
	Pairs    int            // that the driver uses
	Offloads virtio.Feature // that the driver takes
}

// State is a *State.
func (d *Device) State() any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &State{Version: StateVersion, MAC: d.space.mac(), MTU: d.mtu, Pulled: d.pulled.Load(), Pairs: d.pairs, Offloads: d.offloads}
}

// SetState takes a *State.
func (d *Device) SetState(v any) error {
	s, ok := v.(*State)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !ok || s == nil:
		return virtio.DeviceErrorf(d.config.DeviceName(), "the saved state is a %T, not a network card's", v)
	case s.Version != StateVersion:
		return virtio.DeviceErrorf(d.config.DeviceName(), "a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case s.MTU != d.mtu:
		return virtio.DeviceErrorf(d.config.DeviceName(), "the MTU is %d, and the saved guest saw %d; give it mtu=%d", d.mtu, s.MTU, s.MTU)
	case s.Pairs < 0 || s.Pairs > d.maxPairs:
		return virtio.DeviceErrorf(d.config.DeviceName(), "the saved guest uses %d pairs of queues, the card has %d", s.Pairs, d.maxPairs)
	case s.Offloads&^guestOffloads != 0:
		return virtio.DeviceErrorf(d.config.DeviceName(), "the saved guest takes offloads %#x, which are unknown", s.Offloads)
	}
	d.space.setMAC(s.MAC)
	d.pulled.Store(s.Pulled)
	d.linkChanged()
	d.pairs, d.offloads, d.restored = s.Pairs, s.Offloads, true
	return nil
}
