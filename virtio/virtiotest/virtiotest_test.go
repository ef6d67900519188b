package virtiotest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// kinds are all kinds of drivers.
var kinds = []virtiotest.Options{
	{}, {NoIndirect: true}, {NoEventIndex: true}, {NoIndirect: true, NoEventIndex: true}, {QueueSize: 8},
	{Packed: true}, {Packed: true, NoIndirect: true}, {Packed: true, NoEventIndex: true},
	{Packed: true, NoIndirect: true, NoEventIndex: true}, {Packed: true, QueueSize: 7},
}

func name(o virtiotest.Options) string {
	return fmt.Sprintf("packed=%v,indirect=%v,events=%v,size=%d", o.Packed, !o.NoIndirect, !o.NoEventIndex, o.QueueSize)
}

func TestRequestsComeBack(t *testing.T) {
	for _, o := range kinds {
		t.Run(name(o), func(t *testing.T) {
			d := virtiotest.New(t, &virtiotest.Echo{Sizes: []uint16{64, 16}}, o)
			for i := range 1000 {
				q := d.Queue(i % 2)
				a, b := bytes.Repeat([]byte{byte(i)}, 1+i%50), []byte("tail")
				want := append(bytes.Clone(a), b...)
				r := q.Do([][]byte{a, b}, []int{3, len(want)})
				if r.Written() != len(want) || !bytes.Equal(r.In()[:len(want)], want) {
					t.Fatalf("request %d: %d bytes % x, want % x", i, r.Written(), r.In(), want)
				}
			}
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	for _, o := range kinds {
		t.Run(name(o), func(t *testing.T) {
			d := virtiotest.New(t, &virtiotest.Echo{Sizes: []uint16{128}}, o)
			q := d.Queue(0)
			rnd := rand.New(rand.NewPCG(1, 2))
			sent, got := 0, 0
			total := 5000
			if !o.Packed && !o.NoIndirect && o.QueueSize == 0 {
				total = 70000 // past the indices' wrap
			}
			for got < total {
				for n := rnd.IntN(q.Size()/2) + 1; n > 0 && q.Pending() < q.Size()/2; n-- {
					q.Add([][]byte{{byte(sent)}}, []int{1})
					sent++
				}
				q.Kick()
				for n := rnd.IntN(q.Pending()) + 1; n > 0; n-- {
					r := q.Wait()
					if r.Written() != 1 || r.In()[0] != byte(got) {
						t.Fatalf("request %d: %d bytes, %v", got, r.Written(), r.In())
					}
					got++
				}
			}
		})
	}
}

func TestPreparedRequestsAllocateNothing(t *testing.T) {
	for _, o := range kinds {
		t.Run(name(o), func(t *testing.T) {
			d := virtiotest.New(t, &virtiotest.Echo{}, o)
			q := d.Queue(0)
			r := q.Prepare([][]byte{make([]byte, 100)}, []int{100})
			if n := testing.AllocsPerRun(200, func() {
				q.Submit(r)
				q.Kick()
				q.Wait()
			}); n != 0 {
				t.Errorf("%v allocations a request", n)
			}
		})
	}
}

func TestResetStartsAnew(t *testing.T) {
	for _, o := range kinds {
		t.Run(name(o), func(t *testing.T) {
			dev := &virtiotest.Echo{}
			d := virtiotest.New(t, dev, o)
			d.Queue(0).Do([][]byte{{1}}, []int{1})
			d.Reset()
			d.Queue(0).Do([][]byte{{1}}, []int{1})
			if dev.Starts.Load() != 2 || dev.Stops.Load() != 1 {
				t.Errorf("%d starts, %d stops", dev.Starts.Load(), dev.Stops.Load())
			}
		})
	}
}

func TestSaveInMidWork(t *testing.T) {
	for _, o := range kinds {
		t.Run(name(o), func(t *testing.T) {
			d := virtiotest.New(t, &virtiotest.Echo{Limit: 5}, o)
			q := d.Queue(0)
			var rs []*virtiotest.Request
			for i := range 7 {
				rs = append(rs, q.Add([][]byte{{byte(i)}}, []int{1}))
				if q.Pending() > 2 && o.QueueSize != 0 {
					q.Kick()
					q.Wait()
				}
				if i == 4 {
					q.Kick()
				}
			}
			q.Kick()
			for range 5 - (7 - q.Pending()) {
				q.Wait()
			}
			d = d.SaveRestore(&virtiotest.Echo{})
			for q.Pending() > 0 {
				q.Wait()
			}
			for i, r := range rs {
				if !r.Done() || r.In()[0] != byte(i) {
					t.Errorf("request %d: %v", i, r.In())
				}
			}
			d.Queue(0).Do([][]byte{{9}}, []int{1})
		})
	}
}

func TestConfigChange(t *testing.T) {
	dev := &virtiotest.Echo{}
	d := virtiotest.New(t, dev, virtiotest.Options{})
	before := d.Instance().Generation()
	dev.SetConfig(4, []byte("news"))
	d.WaitConfigChanged()
	if got := d.ReadConfig(4, 4); string(got) != "news" || d.Instance().Generation() == before {
		t.Errorf("config %q, generation %d", got, d.Instance().Generation())
	}
}

func TestNonsenseNeedsAReset(t *testing.T) {
	for _, o := range kinds {
		t.Run(name(o), func(t *testing.T) {
			d := virtiotest.New(t, &virtiotest.Echo{}, o)
			q := d.Queue(0)
			q.AddRaw([]virtiotest.Desc{{Addr: 1 << 50, Len: 1}})
			q.Kick()
			d.WaitConfigChanged()
			if d.Failure() == nil {
				t.Error("no reason was given")
			}
			d.Reset()
			q.Do([][]byte{{1}}, []int{1})
		})
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, o := range []virtiotest.Options{{}, {Packed: true}} {
		for _, depth := range []int{1, 32} {
			b.Run(fmt.Sprintf("packed=%v,depth=%d", o.Packed, depth), func(b *testing.B) {
				d := virtiotest.New(b, &virtiotest.Echo{}, o)
				q := d.Queue(0)
				rs := make([]*virtiotest.Request, depth)
				for i := range rs {
					rs[i] = q.Prepare([][]byte{make([]byte, 16)}, []int{16})
					q.Submit(rs[i])
				}
				q.Kick()
				b.ReportAllocs()
				for b.Loop() {
					r := q.Poll()
					for r == nil {
						r = q.Poll()
					}
					q.Submit(r)
					q.Kick()
				}
			})
		}
	}
}
