package vnet

import "sync/atomic"

// Stats are counts since the device was made, of what went through this process:
// frames that vhost-net moves are counted by the host's interface alone. Bytes are
// those of Ethernet frames, without virtio's header.
type Stats struct {
	RxFrames    uint64 `json:"rx_frames"`    // to the guest
	RxBytes     uint64 `json:"rx_bytes"`     // to the guest
	RxDropped   uint64 `json:"rx_dropped"`   // frames to the guest that it had no room for, or whose link was down
	RxStalls    uint64 `json:"rx_stalls"`    // waits because the guest had no buffers
	TxFrames    uint64 `json:"tx_frames"`    // from the guest
	TxBytes     uint64 `json:"tx_bytes"`     // from the guest
	TxDropped   uint64 `json:"tx_dropped"`   // frames from the guest that were malformed or refused by the host, or whose link was down
	TxStalls    uint64 `json:"tx_stalls"`    // waits because the host took no more
	Throttled   uint64 `json:"throttled"`    // waits because of a limit
	LinkChanges uint64 `json:"link_changes"` // times that the guest's link went down or up
	Controls    uint64 `json:"controls"`     // commands of the control queue
}

type counters struct {
	rxFrames, rxBytes, rxDropped, rxStalls atomic.Uint64
	txFrames, txBytes, txDropped, txStalls atomic.Uint64
	throttled, linkChanges, controls       atomic.Uint64
}

// Stats are the card's counters.
func (d *Device) Stats() Stats {
	c := &d.stats
	return Stats{
		RxFrames: c.rxFrames.Load(), RxBytes: c.rxBytes.Load(), RxDropped: c.rxDropped.Load(), RxStalls: c.rxStalls.Load(),
		TxFrames: c.txFrames.Load(), TxBytes: c.txBytes.Load(), TxDropped: c.txDropped.Load(), TxStalls: c.txStalls.Load(),
		Throttled: c.throttled.Load(), LinkChanges: c.linkChanges.Load(), Controls: c.controls.Load(),
	}
}
