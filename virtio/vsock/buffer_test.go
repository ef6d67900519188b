package vsock

import (
	"testing"

	"github.com/mayfly-vm/mayfly/virtio"
)

// TestConsumedChunksAreFreed: the buffer of a connection refers to the chunks that it
// uses and to no others, or each connection would keep what its largest backlog took.
func TestConsumedChunksAreFreed(t *testing.T) {
	var b buffer
	var p pool
	data := make([]byte, maxCredit)
	check := func(when string) {
		for i, c := range b.chunks[:cap(b.chunks)] {
			if (i < len(b.chunks)) != (c != nil) {
				t.Fatalf("%s: of %d chunks in use, number %d is %p", when, len(b.chunks), i, c)
			}
		}
	}
	for _, step := range []int{chunkSize - 1, chunkSize, maxCredit / 2, maxCredit} {
		b.fill(&p, virtio.Vec{iovec(data)}, 0)
		check("full")
		for b.n > 0 {
			b.consume(&p, min(step, b.n))
			check("consumed")
		}
	}
}
