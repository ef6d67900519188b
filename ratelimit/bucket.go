package ratelimit

import (
	"math/bits"
	"time"
)

// bucket is a Bucket at work. One of size 0 limits nothing.
type bucket struct {
	size   uint64
	refill time.Duration
	burst  uint64
	level  int64     // tokens in the bucket; below 0 after an operation larger than it
	last   time.Time // up to when tokens have flown in
}

func (b *bucket) set(c *Bucket, now time.Time) {
	if c == nil {
		*b = bucket{}
		return
	}
	level := int64(c.Size)
	if b.size != 0 {
		b.fill(now)
		part := float64(b.level) / float64(b.size)
		level = int64(max(-MaxTokens, min(part*float64(c.Size), float64(c.Size))))
	}
	*b = bucket{size: c.Size, refill: c.Refill, burst: c.OneTimeBurst, level: level, last: now}
}

// fill lets flow in what the time since the last call is worth.
func (b *bucket) fill(now time.Time) {
	if b.size == 0 {
		return
	}
	elapsed := now.Sub(b.last)
	if elapsed <= 0 {
		return
	}
	if b.level >= int64(b.size) || elapsed >= b.timeFor(uint64(int64(b.size)-b.level)) {
		b.level, b.last = int64(b.size), now
		return
	}
	// elapsed is less than the time for size-level tokens, so nothing overflows.
	hi, lo := bits.Mul64(uint64(elapsed), b.size)
	tokens, _ := bits.Div64(hi%uint64(b.refill), lo, uint64(b.refill))
	b.level += int64(tokens)
	// The part of a token that is left counts next time.
	hi, lo = bits.Mul64(tokens, uint64(b.refill))
	used, _ := bits.Div64(hi%b.size, lo, b.size)
	b.last = b.last.Add(time.Duration(used))
}

// timeFor is how long n tokens take to flow in, rounded up.
func (b *bucket) timeFor(n uint64) time.Duration {
	hi, lo := bits.Mul64(n, uint64(b.refill))
	lo, carry := bits.Add64(lo, b.size-1, 0)
	hi += carry
	if hi >= b.size {
		return forever
	}
	t, _ := bits.Div64(hi, lo, b.size)
	return time.Duration(min(t, uint64(forever)))
}

// missing is how long it takes until n tokens can be taken; 0: now.
func (b *bucket) missing(n uint64) time.Duration {
	if b.size == 0 || n <= b.burst {
		return 0
	}
	need := int64(min(n-b.burst, b.size))
	if b.level >= need {
		return 0
	}
	wait := b.timeFor(uint64(need - b.level))
	return max(wait, 1)
}

// take spends n tokens, those of the burst first.
func (b *bucket) take(n uint64) {
	if b.size == 0 {
		return
	}
	once := min(n, b.burst)
	b.burst -= once
	b.level -= int64(min(n-once, MaxTokens))
}
