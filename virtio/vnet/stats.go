package vnet

import "sync/atomic"

// Stats are what went through the card in this process; vhost-net counts in the
// interface alone.
type Stats struct {
	RxFrames, RxBytes uint64 // given to the guest; bytes without the header
	RxDropped         uint64 // the guest had no room, or the link was down
	RxStalls          uint64 // waits because the guest had no buffers
	TxFrames, TxBytes uint64
	TxDropped         uint64 // malformed, refused by the cable, or the link was down
	TxStalls          uint64 // waits because the cable took no more
	Throttled         uint64 // waits because of a limit
	LinkChanges       uint64
	Controls          uint64 // commands
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
