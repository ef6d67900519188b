package rng

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

// work answers up to batch requests.
func (d *Device) work(q *virtio.Queue) bool {
	did := false
	if d.changed.Swap(false) {
		d.limited.Stop()
	}
	for range batch {
		if d.limited.Waits() || !q.Pop(&d.chain) {
			break
		}
		n := min(d.chain.In.Len(), MaxRequest)
		if !d.limiter.Take(uint64(n)) {
			q.Unpop(&d.chain)
			d.stats.throttled.Add(1)
			d.limited.Set(d.limiter.Wait())
			break
		}
		if err := d.fill(n); err != nil {
			q.Fail(err)
			break
		}
		d.stats.requests.Add(1)
		d.stats.bytes.Add(uint64(n))
		q.Push(&d.chain, n)
		did = true
	}
	q.Flush()
	return did
}

// fill has the kernel write the first n bytes of the chain's buffers, or writes those of Repeat.
func (d *Device) fill(n int) error {
	d.held = d.chain.In.Cut(d.held[:0], 0, n)
	for p := range d.held.Bytes {
		if d.same != nil {
			_, _ = d.same.Read(p) // does not fail
			continue
		}
		for len(p) > 0 {
			// Beyond 256 bytes a signal may cut it short, as the Go runtime's do.
			got, err := unix.Getrandom(p, 0)
			if err != nil && err != unix.EINTR {
				return fmt.Errorf("the host's random generator (getrandom): %w", err)
			}
			p = p[max(got, 0):]
		}
	}
	return nil
}
