package virtio_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

func TestSeveralChainsAtOnce(t *testing.T) {
	eachFormat(t, func(t *testing.T, o virtiotest.Options) {
		o.NoEventIndex = true
		d, q := serve(t, o, 8)
		g := d.Queue(0)
		for round := range 20 { // over the ring's end
			rs := []*virtiotest.Request{g.Add([][]byte{{1}}, []int{1}), g.Add(nil, []int{2}), g.Add(nil, []int{3})}
			var store [3]virtio.Chain
			cs := []*virtio.Chain{&store[1], &store[0], &store[2]}
			for _, i := range []int{0, 1, 2} {
				if !q.Pop(&store[i]) {
					t.Fatal("no chain")
				}
			}
			q.PushAll(nil, nil)
			q.PushAll(cs, []int{1}) // lengths for other chains: nothing
			if g.Poll() != nil {
				t.Fatal("something came back")
			}
			q.PushAll(cs, []int{2, 1, 3})
			for i, want := range []*virtiotest.Request{rs[1], rs[0], rs[2]} {
				if r := g.Poll(); r != want || r.Written() != []int{2, 1, 3}[i] {
					t.Fatalf("round %d: answer %d is another", round, i)
				}
			}
		}
	})
}
