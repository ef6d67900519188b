package console

import "sync/atomic"

// Stats are counts since the device was made, of all ports.
type Stats struct {
	ToGuest   uint64 `json:"to_guest"`   // bytes
	FromGuest uint64 `json:"from_guest"` // bytes
	Lost      uint64 `json:"lost"`       // bytes from the guest that nobody took
	// Failed are those of Lost that a File or an Out should have got: it failed, took
	// nothing for seconds, or reached its limit.
	Failed uint64 `json:"failed"`
}

type counters struct {
	toGuest, fromGuest, lost, failed atomic.Uint64
}

// Undelivered is Stats.Failed and what is still on its way to a File or an Out.
func (d *Device) Undelivered() uint64 {
	n := d.stats.failed.Load()
	for _, p := range d.ports {
		n += p.out.pending()
	}
	return n
}

// Lost is Stats.Failed, and why: the first of the ports' errors, or nil.
func (d *Device) Lost() (bytes uint64, cause error) {
	return d.stats.failed.Load(), d.lostCause()
}

// Stats is a snapshot of the counters.
func (d *Device) Stats() Stats {
	return Stats{d.stats.toGuest.Load(), d.stats.fromGuest.Load(), d.stats.lost.Load(), d.stats.failed.Load()}
}
