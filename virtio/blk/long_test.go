package blk_test

import (
	"os"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// TestResetAmongLongRequests: a ring full of requests of 800 MiB each, all to the
// same memory, does not keep a reset waiting for all of them.
func TestResetAmongLongRequests(t *testing.T) {
	const piece, pieces = 1 << 20, 800
	for _, e := range blk.Engines {
		path := image(t, 512)
		if err := os.Truncate(path, piece*pieces); err != nil {
			t.Fatal(err)
		}
		dev := open(t, blk.Config{Path: path, Engine: e})
		d := virtiotest.New(t, dev, virtiotest.Options{})
		q := d.Queue(0)
		head, p := d.Alloc(16)
		copy(p, header(in, 0))
		data, _ := d.Alloc(piece)
		end, _ := d.Alloc(1)
		descs := []virtiotest.Desc{{Addr: head, Len: 16, Flags: virtiotest.Next, Next: 1}}
		for i := range pieces {
			descs = append(descs, virtiotest.Desc{Addr: data, Len: piece, Flags: virtiotest.Next | virtiotest.Write, Next: uint16(i + 2)})
		}
		descs = append(descs, virtiotest.Desc{Addr: end, Len: 1, Flags: virtiotest.Write})
		table := d.Table(descs)
		for range q.Size() {
			q.AddRaw([]virtiotest.Desc{{Addr: table, Len: uint32(16 * len(descs)), Flags: virtiotest.Indirect}})
		}
		q.Kick()
		q.Wait() // the next are under way
		begin := time.Now()
		d.Link().SetStatus(0)
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("engine %q: the reset took %v", e, took)
		}
		d.Reset()
		wantBytes(t, q, 0, pattern(0, 512))
		dev.Close()
	}
}
