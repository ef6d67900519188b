// Package ratelimit holds a device to so many bytes and so many operations a
// second, by token buckets with the meaning that Firecracker gave them: a bucket
// of Size tokens fills up evenly over Refill, and OneTimeBurst more are there
// once, at the start.
//
// A Limiter never sleeps: Take reports whether a request may go now, and Wait how
// long it takes until it pays to ask again.
package ratelimit

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Bucket is one limit.
type Bucket struct {
	// Size is how many tokens the bucket holds, and how many flow in over Refill: a
	// token is a byte or an operation.
	Size uint64
	// OneTimeBurst tokens can be spent once before those of the bucket.
	OneTimeBurst uint64
	// Refill is the time in which an empty bucket fills up.
	Refill time.Duration
}

// Config is the limits of a device, or of one direction of it. nil: no limit.
type Config struct {
	Bandwidth *Bucket // in bytes
	Ops       *Bucket // in operations
}

// Bounds of a Bucket, so that its arithmetic can't overflow.
const (
	MaxTokens = 1 << 56
	MaxRefill = 24 * time.Hour
)

// Check reports what is wrong with the limits.
func (c Config) Check() error {
	if err := c.Bandwidth.check(); err != nil {
		return fmt.Errorf("bandwidth: %w", err)
	}
	if err := c.Ops.check(); err != nil {
		return fmt.Errorf("operations: %w", err)
	}
	return nil
}

func (b *Bucket) check() error {
	switch {
	case b == nil:
		return nil
	case b.Size == 0:
		return errors.New("a bucket of size 0 would let nothing through; leave the limit out for none")
	case b.Size > MaxTokens || b.OneTimeBurst > MaxTokens:
		return fmt.Errorf("a size of %d with a burst of %d; each is at most %d", b.Size, b.OneTimeBurst, uint64(MaxTokens))
	case b.Refill <= 0 || b.Refill > MaxRefill:
		return fmt.Errorf("a refill time of %v; it is more than 0 and at most %v", b.Refill, MaxRefill)
	}
	return nil
}

// Limiter holds requests to a Config. Its methods are safe for several
// goroutines, which then share the limits. A nil Limiter limits nothing.
type Limiter struct {
	clock  func() time.Time
	active atomic.Bool // some limit is set: without one, Take is a load

	mu             sync.Mutex
	bandwidth, ops bucket
	retry          time.Time // when what the last failed Take wanted will be there
}

// New makes a Limiter with full buckets. The Config was checked.
func New(c Config) *Limiter { return NewClock(c, time.Now) }

// NewClock is New with another clock, for tests.
func NewClock(c Config, clock func() time.Time) *Limiter {
	l := &Limiter{clock: clock}
	l.Set(c)
	return l
}

// Set changes the limits. A bucket that there was before stays as full as it was,
// in proportion; a new one is full; the burst is granted anew.
func (l *Limiter) Set(c Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	l.bandwidth.set(c.Bandwidth, now)
	l.ops.set(c.Ops, now)
	l.retry = now
	l.active.Store(c.Bandwidth != nil || c.Ops != nil)
}

// Take spends the tokens of one operation of n bytes. False: there are too few,
// none were spent, and Wait returns when to ask again.
//
// An operation of more bytes than the bucket holds needs a full bucket, and those
// after it wait until the whole of it has flown in.
func (l *Limiter) Take(n uint64) bool {
	if l == nil || !l.active.Load() {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	l.bandwidth.fill(now)
	l.ops.fill(now)
	wait := max(l.bandwidth.missing(n), l.ops.missing(1))
	if wait > 0 {
		l.retry = now.Add(wait)
		return false
	}
	l.bandwidth.take(n)
	l.ops.take(1)
	return true
}

// Wait is how long it takes until what the last failed Take asked for is there; 0
// when it may be there now.
func (l *Limiter) Wait() time.Duration {
	if l == nil || !l.active.Load() {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.retry.Sub(l.clock()))
}

// forever is a wait that is longer than can be counted.
const forever = time.Duration(math.MaxInt64)
