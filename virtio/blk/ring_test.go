package blk

import (
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
	"github.com/mayfly-vm/mayfly/internal/sys/uring"
	"github.com/mayfly-vm/mayfly/virtio"
)

// TestSleepEndsWithTheBell while a request is under way for as long as it likes: a
// bell that rings then, again and again, or has rung before.
func TestSleepEndsWithTheBell(t *testing.T) {
	u, err := uring.New(4, uring.Options{Cooperative: true})
	if err != nil {
		t.Skip(err)
	}
	defer u.Close()
	bell, err := eventfd.New()
	if err != nil {
		t.Fatal(err)
	}
	defer bell.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	e := &ring{u: u, fd: int(r.Fd()), bell: bell}
	word := new([8]byte)
	e.start(&request{kind: typeIn, index: 7, data: virtio.Vec{unix.Iovec{Base: &word[0], Len: uint64(unsafe.Sizeof(*word))}}})
	sleep := func(then func()) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.sleep()
		}()
		then()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the sleep goes on")
		}
	}
	for range 3 {
		sleep(bell.Signal)
		if i, res, ok := e.next(); ok {
			t.Fatalf("request %d is done: %d", i, res)
		}
		if bell.Clear() {
			t.Error("the bell still rings")
		}
	}
	bell.Signal()
	sleep(func() {})
	sleep(func() { w.Write(make([]byte, len(word))) })
	if i, res, ok := e.next(); !ok || i != 7 || int(res) != len(word) {
		t.Errorf("request %d, %d, %t", i, res, ok)
	}
}
