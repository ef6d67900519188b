package vpci_test

import (
	"fmt"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// The device is saved again and again with requests left in its rings.
func TestSaveInMidWork(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed=%v", packed), func(t *testing.T) {
			d := virtiotest.New(t, &virtiotest.Echo{Sizes: []uint16{32}, Limit: 2}, virtiotest.Options{Packed: packed, Connect: connect})
			q := d.Queue(0)
			for i := range 9 {
				q.Add([][]byte{{byte(i)}}, []int{1})
			}
			q.Kick()
			for got := byte(0); ; {
				for range min(2, q.Pending()) {
					if r := q.Wait(); r.In()[0] != got {
						t.Fatalf("answer %d is %d", got, r.In()[0])
					}
					got++
				}
				if q.Pending() == 0 {
					return
				}
				d = d.SaveRestore(&virtiotest.Echo{Sizes: []uint16{32}, Limit: 2})
			}
		})
	}
}
