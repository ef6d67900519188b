package pci

import (
	"encoding/binary"
	"math/bits"

	"github.com/mayfly-vm/mayfly/internal/bus"
)

// BAR is a block of a function's registers, at an address that the guest can choose
// (PCI 3.0, section 6.2.5.1).
type BAR struct {
	Name string // for errors
	// Size in bytes is a power of two.
	Size uint64
	// Wide is for an address of 64 bits: it takes the next register too, and its first
	// address is in the high window if there is room. That of others is in the low one.
	Wide, Prefetch bool
	Handler        bus.Handler

	addr   uint64 // where it answers, if mapped
	mapped bool
}

// SetBAR makes base address register i, before the function is added.
func (s *Space) SetBAR(i int, b BAR) error {
	last := i
	if b.Wide {
		last++
	}
	switch {
	case i < 0 || last >= numBARs || b.Handler == nil,
		b.Size < smallestBAR || b.Size > largestBAR || bits.OnesCount64(b.Size) != 1,
		!b.Wide && b.Size > 1<<31:
		return errBAR
	}
	for j, o := range s.bars {
		if o.Size != 0 && (j == i || j == last || o.Wide && j+1 == i) {
			return errBAR
		}
	}
	s.bars[i] = b
	at := offBAR + 4*i
	if b.Prefetch {
		s.bytes[at] |= barPrefetch
	}
	// Sizing needs nothing else: the bits below the size stay 0 whatever is written.
	m := ^(b.Size - 1)
	binary.LittleEndian.PutUint32(s.mask[at:], uint32(m)&^0xF)
	if b.Wide {
		s.bytes[at] |= barWide
		binary.LittleEndian.PutUint32(s.mask[at+4:], uint32(m>>32))
	}
	return nil
}

// address is what the guest has written into register i.
func (s *Space) address(i int) uint64 { return s.bars[i].address(s.bytes[offBAR+4*i:]) }

// address is what the register, which begins p, has.
func (b *BAR) address(p []byte) uint64 {
	a := uint64(binary.LittleEndian.Uint32(p) &^ 0xF)
	if b.Wide {
		a |= uint64(binary.LittleEndian.Uint32(p[4:])) << 32
	}
	return a
}

// assign writes an address into register i.
func (s *Space) assign(i int, addr uint64) {
	at := offBAR + 4*i
	s.SetUint32(at, uint32(addr)|s.Uint32(at)&0xF)
	if s.bars[i].Wide {
		s.SetUint32(at+4, uint32(addr>>32))
	}
}
