package vsock_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// TestPauseUnderLoad moves data both ways over pauses: none may be lost or come twice,
// and guest memory rests.
func TestPauseUnderLoad(t *testing.T) {
	for _, tt := range drivers {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.o
			o.Memory = 8 << 20
			g := newGuest(t, o, vsock.Config{})
			c := g.pair()
			const piece, rounds = 1500, 10
			all := pattern(rounds * 40 * piece)
			toHost, toGuest, heard, taken := 0, 0, 0, 0
			both := func(n int) {
				for range n {
					p := packet{src: cid, dst: vsock.HostCID, kind: 1, srcPort: 1000, dstPort: 52, op: opData,
						alloc: g.alloc, count: g.count, data: all[toHost:][:piece]}.bytes()
					g.tx.Add([][]byte{p[:headLen], p[headLen:]}, nil)
					toHost += piece
					say(t, c, string(all[toGuest:][:piece]))
					toGuest += piece
				}
				g.tx.Kick()
			}
			for range rounds {
				both(30)
				g.d.CheckPause(func() { both(10) })
				for g.tx.Pending() > 0 {
					g.tx.Wait()
				}
				if got := hear(t, c, toHost-heard); got != string(all[heard:toHost]) {
					t.Fatalf("the host got other bytes than were sent, between %d and %d", heard, toHost)
				}
				heard = toHost
				if got := g.take(toGuest - taken); string(got) != string(all[taken:toGuest]) {
					t.Fatalf("the guest got other bytes than were sent, between %d and %d", taken, toGuest)
				}
				taken = toGuest
			}
		})
	}
}
