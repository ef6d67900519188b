package virtio_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

var formats = []virtiotest.Options{{}, {Packed: true}, {NoIndirect: true}, {Packed: true, NoIndirect: true}}

func eachFormat(t *testing.T, do func(t *testing.T, o virtiotest.Options)) {
	for _, o := range formats {
		t.Run(fmt.Sprintf("packed=%v,indirect=%v", o.Packed, !o.NoIndirect), func(t *testing.T) { do(t, o) })
	}
}

func TestChainsComeBackInAnyOrder(t *testing.T) {
	eachFormat(t, func(t *testing.T, o virtiotest.Options) {
		d, q := serve(t, o, 16)
		g := d.Queue(0)
		for round := range 50 {
			var rs [4]*virtiotest.Request
			var cs [4]virtio.Chain
			for i := range rs {
				rs[i] = g.Add([][]byte{{byte(i)}, {1}}, []int{2, 2})
			}
			for i := range cs {
				if !q.Pop(&cs[i]) {
					t.Fatal("no chain")
				}
			}
			for _, i := range []int{2, 0, 3, 1} {
				cs[i].In.CopyIn([]byte{byte(i), byte(round), 7}, 0)
				q.Push(&cs[i], 3)
			}
			for _, i := range []int{2, 0, 3, 1} {
				if r := g.Poll(); r != rs[i] || r.Written() != 3 || !bytes.Equal(r.In(), []byte{byte(i), byte(round), 7, 0}) {
					t.Fatalf("round %d: another request than %d came back", round, i)
				}
			}
		}
	})
}

func TestUnpop(t *testing.T) {
	eachFormat(t, func(t *testing.T, o virtiotest.Options) {
		d, q := serve(t, o, 8)
		g := d.Queue(0)
		var c virtio.Chain
		for i := range 40 { // over the ring's end
			r := g.Add([][]byte{{byte(i)}, {2}}, []int{1})
			for range 3 {
				if !q.Pop(&c) || q.Available() {
					t.Fatal("not one chain")
				}
				q.Unpop(&c)
				if !q.Available() {
					t.Fatal("the chain is gone")
				}
			}
			var p [1]byte
			if !q.Pop(&c) || c.Out.CopyOut(p[:], 0) != 1 || p[0] != byte(i) {
				t.Fatalf("another chain: %d", p[0])
			}
			q.Push(&c, 0)
			if g.Poll() != r {
				t.Fatal("the request did not come back")
			}
		}
		if n := q.Stats().Chains.Load(); n != 40 {
			t.Errorf("%d chains counted", n)
		}
	})
}

func TestPositionsAreHandedOver(t *testing.T) {
	eachFormat(t, func(t *testing.T, o virtiotest.Options) {
		d, q := serve(t, o, 8)
		g := d.Queue(0)
		var c virtio.Chain
		for i := range 30 {
			g.Add([][]byte{{byte(i)}}, []int{1})
			// As if a back end in the kernel had served it until here.
			if err := q.SetPosition(q.State()); err != nil {
				t.Fatal(err)
			}
			if !q.Pop(&c) {
				t.Fatal("no chain")
			}
			q.Push(&c, 0)
			if g.Poll() == nil {
				t.Fatal("the request did not come back")
			}
		}
		s := q.State()
		if want := d.Queue(0).Setup(); s.Desc != want.Desc || s.Size != 8 || !s.Ready {
			t.Errorf("%+v, want %+v", s, want)
		}
	})
}

func TestWrongPositionsAreRefused(t *testing.T) {
	d, q := serve(t, virtiotest.Options{Packed: true}, 8)
	s := q.State()
	s.Avail = 8
	if err := q.SetPosition(s); err == nil {
		t.Fatal("a position outside the ring")
	}
	d.Queue(0).Add(nil, []int{1})
	if !q.Available() || !q.Pop(new(virtio.Chain)) {
		t.Error("the queue is gone")
	}
}

func TestNotificationsAreAskedFor(t *testing.T) {
	eachFormat(t, func(t *testing.T, o virtiotest.Options) {
		for _, o.NoEventIndex = range []bool{false, true} {
			d, q := serve(t, o, 8)
			g := d.Queue(0)
			q.TakeKick()
			if q.EnableNotify() {
				t.Error("a chain in an empty queue")
			}
			g.Add([][]byte{{1}}, nil)
			if g.Kick(); !q.TakeKick() {
				t.Error("no notification of the first chain")
			}
			q.DisableNotify()
			g.Add([][]byte{{1}}, nil)
			if g.Kick(); q.TakeKick() {
				t.Error("a notification that nobody asked for")
			}
			if !q.EnableNotify() {
				t.Error("chains were overlooked")
			}
		}
	})
}

func TestInterruptsAreCounted(t *testing.T) {
	eachFormat(t, func(t *testing.T, o virtiotest.Options) {
		o.NoEventIndex = true
		d, q := serve(t, o, 8)
		var c virtio.Chain
		q.Flush()
		d.Queue(0).Add([][]byte{{1}}, nil)
		q.Pop(&c)
		q.Push(&c, 0)
		q.Flush()
		if n := q.Stats().Interrupts.Load(); n != 0 {
			t.Errorf("%d interrupts of a driver that polls", n)
		}
	})
}

func TestQueueAllocatesNothing(t *testing.T) {
	eachFormat(t, func(t *testing.T, o virtiotest.Options) {
		d, q := serve(t, o, 64)
		g := d.Queue(0)
		r := g.Prepare([][]byte{make([]byte, 16), make([]byte, 4096)}, []int{4096, 1})
		var c virtio.Chain
		if n := testing.AllocsPerRun(1000, func() {
			g.Submit(r)
			if !q.Pop(&c) {
				t.Fatal("no chain")
			}
			q.Push(&c, 1)
			q.Flush()
			if g.Poll() != r {
				t.Fatal("no answer")
			}
		}); n != 0 {
			t.Errorf("%v allocations a request", n)
		}
	})
}

// BenchmarkQueue is the device's side of a request of four buffers: Pop, Push,
// Flush. The driver's side is in it too.
func BenchmarkQueue(b *testing.B) {
	for _, o := range formats {
		b.Run(fmt.Sprintf("packed=%v,indirect=%v", o.Packed, !o.NoIndirect), func(b *testing.B) {
			d, q := serve(b, o, 256)
			g := d.Queue(0)
			r := g.Prepare([][]byte{make([]byte, 16)}, []int{4096, 4096, 1})
			var c virtio.Chain
			b.ReportAllocs()
			for b.Loop() {
				g.Submit(r)
				q.Pop(&c)
				q.Push(&c, 1)
				q.Flush()
				g.Poll()
			}
		})
	}
}
