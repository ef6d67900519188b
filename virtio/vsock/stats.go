package vsock

import "sync/atomic"

// Stats are counts since the device was made. With vhost they stay 0.
type Stats struct {
	Connections        uint64 // at the moment, those being made or closed included
	Opened             uint64 // by either side
	Refused            uint64 // by the host: nobody listens, or too many
	Resets             uint64 // sent to the guest
	TxPackets, TxBytes uint64 // from the guest
	RxPackets, RxBytes uint64 // to the guest
	Dropped            uint64 // packets from the guest that make no sense
}

type counters struct {
	connections                                                              atomic.Int64
	opened, refused, resets, txPackets, txBytes, rxPackets, rxBytes, dropped atomic.Uint64
}

// Stats is a snapshot of the counters.
func (d *Device) Stats() Stats {
	c := &d.stats
	return Stats{
		Connections: uint64(c.connections.Load()), Opened: c.opened.Load(), Refused: c.refused.Load(), Resets: c.resets.Load(),
		TxPackets: c.txPackets.Load(), TxBytes: c.txBytes.Load(), RxPackets: c.rxPackets.Load(), RxBytes: c.rxBytes.Load(),
		Dropped: c.dropped.Load(),
	}
}
