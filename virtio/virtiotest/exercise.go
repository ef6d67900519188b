package virtiotest

import (
	"bytes"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio"
)

// Exercise has an Echo of two queues with a transport on f answer requests, before and
// after a reset, and checks that ioeventfds took the notifications where there are
// any.
func Exercise(t *testing.T, f *Fabric, packed bool, connect func(testing.TB, *virtio.Instance) Link) {
	t.Helper()
	d := New(t, &Echo{Sizes: []uint16{16, 64}}, Options{Packed: packed, Connect: connect})
	for i := range 300 {
		want := bytes.Repeat([]byte{byte(i)}, i+1)
		if r := d.Queue(i%2).Do([][]byte{want}, []int{i + 1}); !bytes.Equal(r.In(), want) {
			t.Fatalf("request %d: % x", i, r.In())
		}
	}
	if f.NoIOEvents != (f.Kicked() == 0) {
		t.Errorf("%d notifications by ioeventfd", f.Kicked())
	}
	d.Reset()
	d.Queue(1).Do([][]byte{{1}}, []int{1})
}
