package mmio_test

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/transport/mmio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// Several processors access registers at once while the device works and is
// reset under it. For the race detector.
func TestProcessorsAtOnce(t *testing.T) {
	dev := &virtiotest.Echo{Sizes: []uint16{16, 16}}
	d := virtiotest.New(t, dev, over(virtiotest.Options{}))
	l := d.Link().(*link)
	var wg sync.WaitGroup
	for id := range uint64(4) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(id, 1))
			var p [8]byte
			for range 3000 {
				binary.LittleEndian.PutUint64(p[:], rnd.Uint64()>>rnd.IntN(64))
				n := 1 << rnd.IntN(4)
				off := rnd.Uint64N(mmio.Size/8) * 8
				switch rnd.IntN(8) {
				case 0, 1, 2:
					l.f.Write(base+off, p[:n])
				case 3:
					l.write(0x50, rnd.Uint32N(3))
				case 4:
					l.write(0x70, []uint32{0, 3, 11, 15}[rnd.IntN(4)])
				case 5:
					dev.SetConfig(0, p[:1])
				default:
					l.f.Read(base+off, p[:n])
				}
			}
		})
	}
	wg.Wait()
	d.Reset()
	d.Queue(0).Do([][]byte{{1}}, []int{1})
}
