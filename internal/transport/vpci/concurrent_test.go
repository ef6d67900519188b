package vpci_test

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// Several processors access registers and configuration space at once, move the
// BAR and reset the device under its work. For the race detector.
func TestProcessorsAtOnce(t *testing.T) {
	dev := &virtiotest.Echo{Sizes: []uint16{16, 16}}
	d := virtiotest.New(t, dev, virtiotest.Options{Connect: connect})
	l := d.Link().(*link)
	var wg sync.WaitGroup
	for id := range uint64(4) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(id, 1))
			var p [8]byte
			for range 3000 {
				binary.LittleEndian.PutUint64(p[:], rnd.Uint64()>>rnd.IntN(64))
				n := 1 << rnd.IntN(4)
				off := []uint64{0, 0x800, 0x1000, 0x2000, 0x3000}[rnd.IntN(5)] + rnd.Uint64N(8)*8
				switch rnd.IntN(10) {
				case 0, 1, 2:
					l.f.Write(lowAt+off, p[:n])
				case 3:
					l.put(lowAt+0x14, 1, []uint32{0, 3, 11, 15}[rnd.IntN(4)])
				case 4:
					dev.SetConfig(0, p[:1])
				case 5:
					l.setConfig(4, 2, []uint32{0, 2, 4, 6}[rnd.IntN(4)])
				case 6:
					l.setConfig(0x10, 4, uint32(lowAt)+0x4000*rnd.Uint32N(2))
				case 7:
					l.setConfig(l.msix+2, 2, rnd.Uint32N(4)<<14)
				default:
					l.f.Read(lowAt+off, p[:n])
				}
			}
		})
	}
	wg.Wait()
	l.setConfig(4, 2, 0)
	l.setConfig(0x10, 4, uint32(lowAt))
	l.probe()
	d.Reset()
	d.Queue(0).Do([][]byte{{1}}, []int{1})
}
