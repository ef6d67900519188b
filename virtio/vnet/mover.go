package vnet

import (
	"time"

	"github.com/mayfly-vm/mayfly/ratelimit"
)

// batch and batchBytes end a batch: then the driver is told, and others get the
// processor.
const (
	batch      = 64
	batchBytes = 256 << 10
)

// patience is how long a frame that is longer than all buffers that the driver
// has given waits for more.
const patience = 20 * time.Millisecond

// mover is a goroutine that moves frames.
type mover interface {
	quit() // makes it find out that it is to end
	join() // waits until it has
}

func limits(c ratelimit.Config) bool { return c.Bandwidth != nil || c.Ops != nil }
