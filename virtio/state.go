package virtio

import "github.com/mayfly-vm/mayfly/memory"

// StateVersion is the version of State that this code writes. It reads that and
// no other.
const StateVersion = 1

// State is an Instance between two moments of its life.
type State struct {
	Version    int
	Type       Type
	Status     uint8
	Accepted   Feature
	Generation uint32
	// ConfigPending: the driver is to be interrupted because of its configuration space.
	ConfigPending bool
	// Fresh: the driver has set DRIVER_OK, and the device was not started since.
	Fresh  bool
	Queues []QueueState
	Device any // as Device.State gives it
}

// QueueState is a queue as the driver set it up, and how far both sides are.
type QueueState struct {
	Size                 uint16
	Ready                bool
	Desc, Driver, Device memory.Addr // descriptor area, driver area (available ring), device area (used ring)
	// Avail is the next available index that the device will look at, Used the next
	// that it will write. In a packed ring both are offsets, and bit 15 is the wrap
	// counter.
	Avail, Used uint16
}
