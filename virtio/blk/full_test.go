package blk_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// TestFullRing: as many requests under way as the ring has room for, all done by
// the time that the worker looks: it goes on, and waits for nobody.
func TestFullRing(t *testing.T) {
	c := blk.Config{Path: image(t, imageSize), QueueSize: 4, Engine: blk.IOUring}
	f, err := os.OpenFile(c.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := virtiotest.New(t, open(t, c), virtiotest.Options{})
	q := d.Queue(0)
	f.Sync()
	for range 20 { // until reads go to the engine at once
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			t.Skip(err)
		}
		wantBytes(t, q, 0, pattern(0, 4096))
	}
	for i := range 500 {
		for range q.Size() {
			q.Add([][]byte{header(in, 0)}, []int{512, 1})
		}
		q.Kick()
		for range q.Size() {
			if s := status(q.Wait()); s != ok {
				t.Fatalf("round %d: status %d", i, s)
			}
		}
	}
}
