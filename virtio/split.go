package virtio

import (
	"unsafe"

	"github.com/mayfly-vm/mayfly/memory"
)

// A split ring (section 2.7):
//
//	descriptor table  16 bytes × size
//	available ring    flags u16, idx u16, ring u16 × size, used_event u16
//	used ring         flags u16, idx u16, ring {id u32, len u32} × size, avail_event u16
type split struct {
	mem               *memory.Map
	size, mask        uint16
	desc, avail, used unsafe.Pointer
	nextAvail         uint16
	nextUsed          uint16
	told              uint16 // nextUsed at the last interruptWanted
	lapped            bool   // it came round to told since
	indirect, events  bool
	// usedFlags is what the device last wrote to the used ring's flags.
	usedFlags uint16
}

const (
	availNoInterrupt = 1 // VIRTQ_AVAIL_F_NO_INTERRUPT
	usedNoNotify     = 1 // VIRTQ_USED_F_NO_NOTIFY
)

func newSplit(mem *memory.Map, s *QueueState, f Feature) (ring, error) {
	n := uint64(s.Size)
	r := &split{mem: mem, size: s.Size, mask: s.Size - 1, nextAvail: s.Avail, nextUsed: s.Used, told: s.Used,
		indirect: f.Has(FeatureIndirectDesc), events: f.Has(FeatureEventIndex)}
	var err error
	if r.desc, err = area(mem, "descriptor table", s.Desc, 16*n, 16); err != nil {
		return nil, err
	}
	if r.avail, err = area(mem, "available ring", s.Driver, 6+2*n, 2); err != nil {
		return nil, err
	}
	if r.used, err = area(mem, "used ring", s.Device, 6+8*n, 4); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *split) usedEvent() unsafe.Pointer  { return unsafe.Add(r.avail, 4+2*int(r.size)) }
func (r *split) availEvent() unsafe.Pointer { return unsafe.Add(r.used, 4+8*int(r.size)) }

func (r *split) available() bool { return load16(unsafe.Add(r.avail, 2)) != r.nextAvail }

func (r *split) pop(cr *chainReader, c *Chain) (bool, error) {
	ahead := load16(unsafe.Add(r.avail, 2)) - r.nextAvail
	switch {
	case ahead == 0:
		return false, nil
	case ahead > r.size:
		return false, errIndex
	}
	head := load16(unsafe.Add(r.avail, 4+2*int(r.nextAvail&r.mask)))
	cr.begin(r.mem, c)
	if err := r.walk(cr, head); err != nil {
		return false, err
	}
	c.id, c.count = head, 1
	r.nextAvail++
	return true, nil
}

// walk follows the chain from head on.
func (r *split) walk(cr *chainReader, head uint16) error {
	table, entries, limit := r.desc, int(r.size), int(r.size)
	nested := false
	for next := head; ; limit-- {
		if int(next) >= entries {
			return errHead
		}
		if limit == 0 {
			return errTooLong
		}
		d := loadDescriptor(unsafe.Add(table, descSize*int(next)))
		if d.flags&descIndirect == 0 {
			if err := cr.add(&d); err != nil {
				return err
			}
			if d.flags&descNext == 0 {
				return nil
			}
			next = d.next
			continue
		}
		// A chain may have direct descriptors before the table, but nothing behind it.
		switch {
		case nested:
			return errNested
		case !r.indirect || d.flags&descNext != 0:
			return errIndirect
		}
		var err error
		if table, entries, err = cr.table(&d); err != nil {
			return err
		}
		nested, next, limit = true, 0, entries+1
	}
}

func (r *split) unpop(*Chain) { r.nextAvail-- }

func (r *split) push(c *Chain, written uint32) {
	e := unsafe.Add(r.used, 4+8*int(r.nextUsed&r.mask))
	*(*uint64)(e) = uint64(c.id) | uint64(written)<<32
	r.advance(1)
}

// advance shows the driver n more entries.
func (r *split) advance(n uint16) {
	if r.told-r.nextUsed-1 < n {
		r.lapped = true
	}
	r.nextUsed += n
	store16(unsafe.Add(r.used, 2), r.nextUsed)
}

func (r *split) pushAll(c []*Chain, written []int) {
	next := r.nextUsed
	for i := range c {
		*(*uint64)(unsafe.Add(r.used, 4+8*int(next&r.mask))) = uint64(c[i].id) | uint64(uint32(written[i]))<<32
		next++
	}
	r.advance(next - r.nextUsed)
}

func (r *split) notify(want bool) {
	switch {
	case r.events && want:
		store16(r.availEvent(), r.nextAvail)
	case r.events:
		// As far ahead as it can be: the driver rings once in 65536 chains. Left where it
		// is, it would be passed by the next chain if something else woke us.
		store16(r.availEvent(), r.nextAvail-1)
		return
	case want:
		r.usedFlags &^= usedNoNotify
		store16(r.used, r.usedFlags)
	default:
		r.usedFlags |= usedNoNotify
		store16(r.used, r.usedFlags)
	}
	barrier()
}

func (r *split) interruptWanted() bool {
	old, lapped := r.told, r.lapped
	if old == r.nextUsed && !lapped {
		return false
	}
	r.told, r.lapped = r.nextUsed, false
	barrier()
	if !r.events {
		return load16(r.avail)&availNoInterrupt == 0
	}
	if lapped { // every event was passed
		return true
	}
	// Section 2.7.10: whether the event lies in what was added.
	event := load16(r.usedEvent())
	return r.nextUsed-event-1 < r.nextUsed-old
}

func (r *split) save(s *QueueState) { s.Avail, s.Used = r.nextAvail, r.nextUsed }
