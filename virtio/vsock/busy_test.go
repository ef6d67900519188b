package vsock_test

import (
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// TestDeadlinesUnderLoad: a guest that never lets the device sleep does not keep a
// host's process waiting for an answer for ever.
func TestDeadlinesUnderLoad(t *testing.T) {
	g := newGuest(t, virtiotest.Options{}, vsock.Config{})
	c := g.dial()
	say(t, c, "CONNECT 52\n")
	g.expect(opRequest)
	closed := make(chan error, 1)
	go func() {
		c.SetReadDeadline(time.Now().Add(8 * time.Second))
		var b [1]byte
		_, err := c.Read(b[:])
		closed <- err
	}()
	p := packet{src: cid, dst: 2, srcPort: 9, dstPort: 9, kind: 1, op: opReset} // needs no answer
	for range g.tx.Size() {
		r := g.tx.Prepare([][]byte{p.bytes()}, nil)
		g.tx.Submit(r)
	}
	g.tx.Kick()
	for {
		select {
		case err := <-closed:
			if err == nil || err.Error() != "EOF" {
				t.Errorf("the process was not told: %v", err)
			}
			return
		default:
		}
		for r := g.tx.Poll(); r != nil; r = g.tx.Poll() {
			g.tx.Submit(r)
			g.tx.Kick()
		}
	}
}
