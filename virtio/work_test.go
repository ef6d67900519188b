package virtio_test

import (
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// settling is a virtio.Counted.
type settling struct{ virtiotest.Echo }

func (*settling) Repeat() {}

func (*settling) Answers(int) bool { return true }

// A device is settled when it has answered what its driver has rung for: not before, and also where the driver gives it more
// without a ring, or what no driver may.
func TestSettled(t *testing.T) {
	d := virtiotest.New(t, &settling{}, virtiotest.Options{})
	in, q := d.Instance(), d.Queue(0)
	settles := func(what string) {
		t.Helper()
		for begin := time.Now(); !in.Settled(); time.Sleep(time.Millisecond) {
			if time.Since(begin) > virtiotest.Deadline {
				t.Fatalf("%s: it does not settle", what)
			}
		}
	}
	settles("at the start")
	for range 1000 {
		first, second := q.Prepare([][]byte{{1}}, []int{1}), q.Prepare([][]byte{{2}}, []int{1})
		q.Submit(first)
		settles("a chain without a ring")
		q.Submit(second)
		in.Notify(0)
		if settles("two chains"); q.Poll() != first || q.Poll() != second {
			t.Fatal("it has settled, and not answered")
		}
	}
	q.AddRaw([]desc{{Addr: 1 << 40, Len: 8}})
	in.Notify(0)
	settles("a chain that is nowhere")
	d.Reset()
	settles("after a reset")
}
