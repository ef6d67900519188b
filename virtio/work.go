package virtio

import "unsafe"

// Work is a number that changes when the driver gives the device chains, no
// matter who serves the queues: the chains taken so far, plus the available indices of split
// rings as the guest has them in its memory. It does not wait: while the device
// is started or stopped, work differs from call to call.
func (in *Instance) Work() uint64 {
	select {
	case in.transition <- struct{}{}:
	default:
		return in.busy.Add(1) << 32
	}
	defer in.unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.session
	if s == nil {
		return 0
	}
	var n uint64
	for _, q := range s.Queues {
		if q == nil {
			continue
		}
		n += q.stats.Chains.Load()
		if in.accepted.Has(FeatureRingPacked) {
			continue
		}
		if b, err := in.opts.Memory.Slice(q.setup.Driver, 4); err == nil {
			n += uint64(load16(unsafe.Pointer(&b[2])))
		}
	}
	return n
}

// Counted is a Device of which runs can be repeated: it does nothing but answer its driver.
type Counted interface {
	// Answers reports whether the chains of a queue are answered without anything that comes from outside, but for an error.
	Answers(queue int) bool
	// Repeat has answers be the same in each run, and come in the order in which the driver gave the chains. It comes before the
	// first Start.
	Repeat()
}

// Settled reports whether the device has answered all that its driver has kicked for on queues of which Counted.Answers
// is true, and notified it: what the driver finds then does not depend on the device's speed. It is true for a device with
// packed rings, that needs a reset, or that is not Counted.
func (in *Instance) Settled() bool {
	select {
	case in.transition <- struct{}{}:
	default:
		return false
	}
	defer in.unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	counted, ok := in.dev.(Counted)
	s := in.session
	if !ok || s == nil || in.halted.Load() || in.Status()&StatusNeedsReset != 0 || in.accepted.Has(FeatureRingPacked) {
		return true
	}
	for i, q := range s.Queues {
		if q == nil || !counted.Answers(i) {
			continue
		}
		if q.idleFrom.Load() != q.kicks.Load()+1 || q.notified.Load() != q.stats.Chains.Load() {
			return false
		}
	}
	return true
}
