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
