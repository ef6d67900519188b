package blk

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/sys/uring"
	"github.com/mayfly-vm/mayfly/virtio"
)

// TestTransferEndsAPoll: the ring's descriptor is readable when a transfer is done.
func TestTransferEndsAPoll(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	u, err := uring.New(4, uring.Options{Cooperative: true, Files: []int32{theFile: int32(r.Fd())}})
	if err != nil {
		t.Skip(err)
	}
	defer u.Close()
	e := newRing(u)
	word := new([8]byte)
	e.start(&request{kind: typeIn, index: 7, data: virtio.Vec{unix.Iovec{Base: &word[0], Len: uint64(unsafe.Sizeof(*word))}}})
	e.waitFor(0)
	if i, res, ok := e.next(); ok {
		t.Fatalf("request %d is done: %d", i, res)
	}
	if _, err := w.Write(make([]byte, len(word))); err != nil {
		t.Fatal(err)
	}
	fds := []unix.PollFd{{Fd: int32(e.u.FD()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 20000); n != 1 || err != nil {
		t.Fatalf("poll: %d, %v", n, err)
	}
	if i, res, ok := e.next(); !ok || i != 7 || int(res) != len(word) {
		t.Errorf("request %d, %d, %t", i, res, ok)
	}
}
