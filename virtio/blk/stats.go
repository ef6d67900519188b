package blk

import "sync/atomic"

// Stats are counts since the device was made.
type Stats struct {
	Reads       uint64 `json:"reads"`        // read requests
	Writes      uint64 `json:"writes"`       // write requests
	Flushes     uint64 `json:"flushes"`      // flush requests
	Discards    uint64 `json:"discards"`     // discard requests
	WriteZeroes uint64 `json:"write_zeroes"` // write-zeroes requests
	ReadBytes   uint64 `json:"read_bytes"`   // that the read requests asked for
	WriteBytes  uint64 `json:"write_bytes"`  // that the write requests asked for
	Inline      uint64 `json:"inline"`       // reads and writes that the page cache served at once
	Joined      uint64 `json:"joined"`       // reads and writes that were merged with an adjacent one
	Throttled   uint64 `json:"throttled"`    // times that the limits stopped a queue
	Errors      uint64 `json:"errors"`       // requests that ended in an I/O error
	Unsupported uint64 `json:"unsupported"`  // requests of unknown types or flags
}

// counters are Stats as the workers add to them.
type counters struct {
	reads, writes, flushes, discards, zeroes, readBytes, writeBytes, inline, joined, throttled, errors, unsupported atomic.Uint64
}

// tally is a worker's own count between two visits to the counters: a locked
// addition costs as much as the rest of the bookkeeping.
type tally struct {
	reads, writes, readBytes, writeBytes, inline, joined uint64
}

func (c *counters) add(t *tally) {
	if t.reads != 0 {
		c.reads.Add(t.reads)
		c.readBytes.Add(t.readBytes)
	}
	if t.writes != 0 {
		c.writes.Add(t.writes)
		c.writeBytes.Add(t.writeBytes)
	}
	if t.inline != 0 {
		c.inline.Add(t.inline)
	}
	if t.joined != 0 {
		c.joined.Add(t.joined)
	}
	*t = tally{}
}

// Stats is a snapshot of the counters.
func (d *Device) Stats() Stats {
	c := &d.stats
	return Stats{
		Reads: c.reads.Load(), Writes: c.writes.Load(), Flushes: c.flushes.Load(), Discards: c.discards.Load(), WriteZeroes: c.zeroes.Load(),
		ReadBytes: c.readBytes.Load(), WriteBytes: c.writeBytes.Load(),
		Inline: c.inline.Load(), Joined: c.joined.Load(), Throttled: c.throttled.Load(), Errors: c.errors.Load(), Unsupported: c.unsupported.Load(),
	}
}
