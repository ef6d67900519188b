package rng_test

import (
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// TestPauseUnderLoad: guest memory rests during a pause, and each request is answered
// once, also those that a limit holds back.
func TestPauseUnderLoad(t *testing.T) {
	for name, c := range map[string]rng.Config{
		"free":    {},
		"limited": {Limits: ratelimit.Config{Ops: &ratelimit.Bucket{Size: 10, Refill: 10 * time.Millisecond}}},
	} {
		t.Run(name, func(t *testing.T) {
			d := virtiotest.New(t, open(t, c), virtiotest.Options{Memory: 8 << 20})
			q := d.Queue(0)
			submit := func(n int) {
				for range n {
					q.Add(nil, []int{8192})
				}
				q.Kick()
			}
			for range 5 {
				submit(20)
				d.CheckPause(func() { submit(10) })
				for q.Pending() > 0 {
					if n := q.Wait().Written(); n != 8192 {
						t.Fatalf("%d bytes", n)
					}
				}
				if q.Poll() != nil {
					t.Error("more answers than requests")
				}
			}
		})
	}
}
