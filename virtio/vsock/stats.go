package vsock

import "sync/atomic"

// Stats are counts since the device was made. With vhost they stay 0.
type Stats struct {
	Connections uint64 `json:"connections"` // at present, those being opened or closed included; not a count since the start
	Opened      uint64 `json:"opened"`      // connections, by either side
	Refused     uint64 `json:"refused"`     // connections, by the host: nobody listens, or there are too many
	Resets      uint64 `json:"resets"`      // RST packets to the guest
	TxPackets   uint64 `json:"tx_packets"`  // from the guest
	TxBytes     uint64 `json:"tx_bytes"`    // of data from the guest
	RxPackets   uint64 `json:"rx_packets"`  // to the guest
	RxBytes     uint64 `json:"rx_bytes"`    // of data to the guest
	Dropped     uint64 `json:"dropped"`     // packets from the guest that were invalid
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
