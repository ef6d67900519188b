package virtiotest

import (
	"math/bits"
	"testing"

	"github.com/mayfly-vm/mayfly/memory"
)

// heap gives out guest memory in powers of two, aligned to their size up to a
// page, and takes it back.
type heap struct {
	mem  *memory.Map
	next uint64
	free [64][]memory.Addr // by log2 of the size
}

// smallest is log2 of the least that is given out.
const smallest = 6

func newHeap(mem *memory.Map) *heap { return &heap{mem: mem, next: memory.PageSize} }

func class(n int) int { return max(smallest, bits.Len(uint(max(n, 1)-1))) }

func (h *heap) alloc(t testing.TB, n int) (memory.Addr, []byte) {
	t.Helper()
	c := class(n)
	var addr memory.Addr
	if l := len(h.free[c]); l > 0 {
		addr = h.free[c][l-1]
		h.free[c] = h.free[c][:l-1]
	} else {
		align := min(uint64(1)<<c, memory.PageSize)
		h.next = (h.next + align - 1) &^ (align - 1)
		addr = memory.Addr(h.next)
		h.next += 1 << c
	}
	p, err := h.mem.Slice(addr, uint64(n))
	if err != nil {
		t.Fatalf("guest memory is used up (Options.Memory): %v", err)
	}
	return addr, p
}

func (h *heap) release(addr memory.Addr, n int) {
	c := class(n)
	h.free[c] = append(h.free[c], addr)
}
