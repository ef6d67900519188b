package console_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// TestPauseUnderLoad writes and reads a terminal over pauses: no byte may be lost or
// come twice, and guest memory rests.
func TestPauseUnderLoad(t *testing.T) {
	for _, tt := range drivers {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.o
			o.Memory = 8 << 20
			var out sink
			dev := open(t, console.Port{Console: true, Out: &out})
			d := virtiotest.New(t, dev, o)
			rx, tx := d.Queue(0), d.Queue(1)
			input := dev.Input(0)
			var written, typed, read bytes.Buffer
			both := func(n int) {
				for range n {
					line := fmt.Appendf(nil, "line %d\n", written.Len())
					tx.Add([][]byte{line}, nil)
					written.Write(line)
					typed.Write(line)
					if taken := input.Receive(line); taken != len(line) {
						t.Fatalf("%d of %d bytes of input were taken", taken, len(line))
					}
				}
				tx.Kick()
			}
			for range 10 {
				for rx.Pending() < 32 {
					rx.Add(nil, []int{64})
				}
				rx.Kick()
				both(20)
				d.CheckPause(func() { both(5) })
				for tx.Pending() > 0 {
					tx.Wait()
				}
				for read.Len() < typed.Len() {
					r := rx.Wait()
					read.Write(r.In()[:r.Written()])
					rx.Add(nil, []int{64})
					rx.Kick()
				}
			}
			if !bytes.Equal(read.Bytes(), typed.Bytes()) {
				t.Error("the guest read other bytes than were typed")
			}
			machinetest.Until(t, "output", func() bool { return out.String() == written.String() })
		})
	}
}
