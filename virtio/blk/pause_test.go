package blk_test

import (
	"bytes"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// TestPauseUnderLoad: guest memory rests during a pause, and each request is answered
// once.
func TestPauseUnderLoad(t *testing.T) {
	each(t, func(t *testing.T, c blk.Config, o virtiotest.Options) {
		o.Memory = 8 << 20
		d := virtiotest.New(t, open(t, c), o)
		q := d.Queue(0)
		const size, total = 4096, 480
		block := func(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8), 3, byte(i * 7)}, size/4) }
		begun, reads, done := 0, map[*virtiotest.Request]int{}, 0
		submit := func(n int) {
			for ; n > 0 && begun < total; n-- {
				// A read of a block that no write of this test changes, among the writes.
				if begun%3 == 2 {
					r := q.Add([][]byte{header(in, uint64((total+begun)*size/512))}, []int{size, 1})
					reads[r] = total + begun
				} else {
					q.Add([][]byte{header(out, uint64(begun*size/512)), block(begun)}, []int{1})
				}
				begun++
			}
			q.Kick()
		}
		for done < total {
			submit(40)
			d.CheckPause(func() { submit(8) })
			for q.Pending() > 16 || begun == total && q.Pending() > 0 {
				r := q.Wait()
				if s := status(r); s != ok {
					t.Fatalf("status %d", s)
				}
				if i, ok := reads[r]; ok && !bytes.Equal(r.In()[:size], pattern(i*size, size)) {
					t.Fatalf("block %d was read wrongly", i)
				}
				done++
			}
		}
		if q.Poll() != nil {
			t.Error("more answers than requests")
		}
		for i := range total {
			if i%3 != 2 {
				wantBytes(t, q, i*size, block(i))
			}
		}
	})
}
