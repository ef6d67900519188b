package virtio_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// FuzzRings lays arbitrary bytes over a queue's three areas and over the memory
// that its descriptors are likely to name, while another thread of the guest goes
// on scribbling there. Whatever the device makes of it, after a reset it works.
func FuzzRings(f *testing.F) {
	pattern := func(b ...byte) []byte {
		p := make([]byte, 1024)
		for i := range p {
			p[i] = b[i%len(b)]
		}
		return p
	}
	f.Add(uint8(0), pattern(0))
	f.Add(uint8(1), pattern(0x80, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0x80, 0))
	f.Add(uint8(2), pattern(0, 1, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0))
	f.Add(uint8(0), pattern(0, 0x10, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 4, 0, 1, 0))
	f.Add(uint8(5), pattern(0, 0x10, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 1, 0, 0x84, 0))
	f.Add(uint8(3), pattern(0xFF))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		o := virtiotest.Options{Packed: kind&1 != 0, NoIndirect: kind&2 != 0, NoEventIndex: kind&4 != 0, Memory: 1 << 20}
		d := virtiotest.New(t, &virtiotest.Echo{Sizes: []uint16{16}}, o)
		g := d.Queue(0)
		s := g.Setup()
		var areas [][]byte
		for _, a := range []struct {
			addr memory.Addr
			n    uint64
		}{{s.Desc, 16 * 16}, {s.Driver, 6 + 2*16}, {s.Device, 6 + 8*16}, {0, 512}} {
			p, err := d.Memory().Slice(a.addr, a.n)
			if err != nil {
				t.Fatal(err)
			}
			areas = append(areas, p)
		}
		var stop atomic.Bool
		var guest sync.WaitGroup
		guest.Go(func() {
			for off := 0; !stop.Load() && len(b) > 0; off++ {
				for _, p := range areas {
					for i := range p {
						p[i] = b[(i+off)%len(b)]
					}
				}
			}
		})
		for range 20 {
			d.Instance().Notify(0)
			if d.Instance().Status()&virtio.StatusNeedsReset != 0 {
				break
			}
			runtime.Gosched()
		}
		stop.Store(true)
		guest.Wait()
		d.Reset()
		if r := g.Do([][]byte{{1, 2, 3}}, []int{3}); r.Written() != 3 || r.In()[2] != 3 {
			t.Fatalf("%d bytes % x after a reset", r.Written(), r.In())
		}
	})
}
