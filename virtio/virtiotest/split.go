package virtiotest

import "unsafe"

// split is the driver's side of a split ring (section 2.7.13).
type split struct {
	size                uint16
	desc, driver, usedR unsafe.Pointer
	events              bool
	firstFree, left     uint16
	next                []uint16 // the driver's own copy of the free list and the chains
	count               []uint16 // descriptors of the chain with that head
	avail, told, used   uint16
}

func newSplit(size uint16, desc, driver, device unsafe.Pointer, events bool) *split {
	s := &split{size: size, desc: desc, driver: driver, usedR: device, events: events, left: size,
		next: make([]uint16, size), count: make([]uint16, size)}
	for i := range s.next {
		s.next[i] = uint16(i + 1)
	}
	return s
}

func (s *split) put(descs []Desc) (uint16, bool) {
	if len(descs) == 0 || len(descs) > int(s.left) {
		return 0, false
	}
	head, at := s.firstFree, s.firstFree
	for i := range descs {
		d := &descs[i]
		next := d.Next
		if int(next) < len(descs) {
			next = s.nth(head, next)
		}
		storeDesc(unsafe.Add(s.desc, 16*int(at)), uint64(d.Addr), d.Len, d.Flags, next)
		at = s.next[at]
	}
	s.firstFree = at
	s.left -= uint16(len(descs))
	s.count[head] = uint16(len(descs))
	store16(unsafe.Add(s.driver, 4+2*int(s.avail%s.size)), head)
	s.avail++
	store16(unsafe.Add(s.driver, 2), s.avail)
	return head, true
}

// nth is the n-th entry from head on. The chains of tests are short.
func (s *split) nth(head, n uint16) uint16 {
	for ; n > 0; n-- {
		head = s.next[head]
	}
	return head
}

func (s *split) take() (uint16, uint32, bool) {
	if load16(unsafe.Add(s.usedR, 2)) == s.used {
		return 0, 0, false
	}
	e := load64(unsafe.Add(s.usedR, 4+8*int(s.used%s.size)))
	s.used++
	return uint16(e), uint32(e >> 32), true
}

func (s *split) free(head uint16) {
	n := s.count[head]
	last := s.nth(head, n-1)
	s.next[last], s.firstFree = s.firstFree, head
	s.left += n
}

func (s *split) kickWanted() bool {
	old := s.told
	s.told = s.avail
	barrier()
	if s.events {
		return passed(load16(unsafe.Add(s.usedR, 4+8*int(s.size))), s.avail, old)
	}
	return load16(s.usedR)&1 == 0
}

func (s *split) interrupts(want bool) {
	switch {
	case s.events && want:
		store16(unsafe.Add(s.driver, 4+2*int(s.size)), s.used)
	case s.events:
		store16(unsafe.Add(s.driver, 4+2*int(s.size)), s.used-1)
	case want:
		store16(s.driver, 0)
	default:
		store16(s.driver, 1)
	}
	barrier()
}
