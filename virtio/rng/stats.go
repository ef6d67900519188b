package rng

import "sync/atomic"

// Stats are counts since the device was made.
type Stats struct {
	Requests  uint64 `json:"requests"`  // that were answered
	Bytes     uint64 `json:"bytes"`     // of random data
	Throttled uint64 `json:"throttled"` // times that the limits stopped the queue
}

type counters struct {
	requests, bytes, throttled atomic.Uint64
}

// Stats is a snapshot of the counters.
func (d *Device) Stats() Stats {
	return Stats{d.stats.requests.Load(), d.stats.bytes.Load(), d.stats.throttled.Load()}
}
