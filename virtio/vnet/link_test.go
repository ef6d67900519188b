package vnet_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// TestLinkOfTwoMinds: the cable goes while somebody plugs it in; the last word is
// what the guest sees.
func TestLinkOfTwoMinds(t *testing.T) {
	dev, _ := openStream(t, vnet.Config{})
	for i := range 100_000 {
		up := i%2 == 0
		done := make(chan struct{})
		go func() {
			dev.CableUp(up)
			close(done)
		}()
		dev.SetLink(false)
		dev.SetLink(true)
		<-done
		if dev.Link() != up {
			t.Fatalf("round %d: the link is %v, and the cable %v", i, dev.Link(), up)
		}
	}
}
