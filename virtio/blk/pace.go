package blk

import "time"

// pace decides whether a request is worth a try in the page cache before an
// engine gets it.
type pace struct {
	misses uint32 // reads in a row that the page cache did not have
	skip   uint32 // reads or writes left to go to the engine
	slow   uint32 // writes left to go to the engine
	alone  uint32 // writes in a row that were the driver's only request
	began  time.Duration
}

const (
	// missLimit reads in a row that the cache does not have send most of the next to
	// the engine at once; one in missSkip looks whether that has changed. A try costs
	// 0.3 us.
	missLimit = 16
	missSkip  = 16
	// slowWrite is how long a write may keep a queue from its other requests. Longer
	// means that the host's memory is full of writes, or the file is far away; then
	// slowSkip writes go to the engine.
	slowWrite = time.Millisecond
	slowSkip  = 64
	// aloneLimit writes in a row, each the only request there was, make it likely that
	// nobody waits for a call that does the next.
	aloneLimit = 16
)

var epoch = time.Now()

func (p *pace) tryRead() bool {
	if p.misses < missLimit {
		return true
	}
	if p.skip++; p.skip < missSkip {
		return false
	}
	p.skip = 0
	return true
}

func (p *pace) didRead(hit bool) {
	if hit {
		p.misses = 0
	} else if p.misses < missLimit {
		p.misses++
	}
}

func (p *pace) tryWrite() bool {
	if p.slow > 0 {
		p.slow--
		return false
	}
	p.began = time.Since(epoch)
	return true
}

// single says whether a write is the driver's only request, and tells whether
// enough were.
func (p *pace) single(only bool) bool {
	if !only {
		p.alone = 0
		return false
	}
	p.alone = min(p.alone+1, aloneLimit)
	return p.alone == aloneLimit
}

// didWrite ends what tryWrite began; others tells whether requests have come since,
// which have waited.
func (p *pace) didWrite(others bool) {
	if others {
		p.alone = 0
	}
	if time.Since(epoch)-p.began > slowWrite {
		p.slow = slowSkip
	}
}
