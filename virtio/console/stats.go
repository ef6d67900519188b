package console

import "sync/atomic"

// Stats are counts since the device was made, of all ports.
type Stats struct {
	ToGuest, FromGuest uint64 // bytes
	Lost               uint64 // bytes from the guest that nobody took
}

type counters struct {
	toGuest, fromGuest, lost atomic.Uint64
}

// Stats is a snapshot of the counters.
func (d *Device) Stats() Stats {
	return Stats{d.stats.toGuest.Load(), d.stats.fromGuest.Load(), d.stats.lost.Load()}
}
