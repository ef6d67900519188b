package virtio

import (
	"unsafe"

	"github.com/mayfly-vm/mayfly/memory"
)

// A packed ring (section 2.8): one table that both sides write.
//
//	descriptor ring          16 bytes × size
//	driver event suppression off_wrap u16, flags u16
//	device event suppression off_wrap u16, flags u16
type packed struct {
	mem                  *memory.Map
	size                 uint16
	desc, driver, device unsafe.Pointer
	avail, used          position
	told                 position
	since                uint32 // descriptors pushed since told: positions alone can't tell laps apart
	indirect, events     bool
}

// Flags of event suppression.
const (
	eventEnable  = 0
	eventDisable = 1
	eventDesc    = 2 // at off_wrap; with FeatureEventIndex only
)

// position is a place in a packed ring with its wrap counter in bit 15, as in
// off_wrap and in QueueState.
type position uint16

const wrapBit = 1 << 15

func (p position) offset() uint16 { return uint16(p) &^ wrapBit }
func (p position) wrap() bool     { return p&wrapBit != 0 }

func (p position) add(n, size uint16) position {
	off := uint32(p.offset()) + uint32(n)
	if off >= uint32(size) {
		return position(off-uint32(size)) | (p&wrapBit ^ wrapBit)
	}
	return position(off) | p&wrapBit
}

func (p position) sub(n, size uint16) position {
	if off := p.offset(); off < n {
		return position(off+size-n) | (p&wrapBit ^ wrapBit)
	}
	return p - position(n)
}

// firstPosition is where both sides begin.
const firstPosition = wrapBit

func newPacked(mem *memory.Map, s *QueueState, f Feature) (ring, error) {
	r := &packed{mem: mem, size: s.Size, avail: position(s.Avail), used: position(s.Used), told: position(s.Used),
		indirect: f.Has(FeatureIndirectDesc), events: f.Has(FeatureEventIndex)}
	if r.avail.offset() >= s.Size || r.used.offset() >= s.Size {
		return nil, errHead
	}
	var err error
	if r.desc, err = area(mem, "descriptor ring", s.Desc, 16*uint64(s.Size), 16); err != nil {
		return nil, err
	}
	if r.driver, err = area(mem, "driver event suppression", s.Driver, 4, 4); err != nil {
		return nil, err
	}
	if r.device, err = area(mem, "device event suppression", s.Device, 4, 4); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *packed) at(p position) unsafe.Pointer {
	return unsafe.Add(r.desc, descSize*int(p.offset()))
}

// isAvailable tells whether the driver has made the descriptor at p available:
// its avail flag is the wrap counter and its used flag is not.
func isAvailable(flags uint16, p position) bool {
	avail, used := flags&descAvail != 0, flags&descUsed != 0
	return avail == p.wrap() && used != p.wrap()
}

func (r *packed) available() bool {
	return isAvailable(load16(unsafe.Add(r.at(r.avail), 14)), r.avail)
}

func (r *packed) pop(cr *chainReader, c *Chain) (bool, error) {
	if !r.available() {
		return false, nil
	}
	cr.begin(r.mem, c)
	p := r.avail
	for n := uint16(1); ; n++ {
		// Only the first one's flags tell of availability; the driver writes them last
		// (section 2.8.6).
		d := loadDescriptor(r.at(p))
		flags := uint16(d.next) // in a packed ring id stands before flags
		id := d.flags
		d.flags = flags
		if flags&descIndirect != 0 {
			if err := r.table(cr, &d, n); err != nil {
				return false, err
			}
		} else if err := cr.add(&d); err != nil {
			return false, err
		}
		p = p.add(1, r.size)
		if flags&descNext == 0 || flags&descIndirect != 0 {
			c.id, c.count = id, n
			r.avail = p
			return true, nil
		}
		if n == r.size {
			return false, errTooLong
		}
	}
}

// table reads an indirect table: all its entries, in order (section 2.8.8).
func (r *packed) table(cr *chainReader, d *descriptor, n uint16) error {
	if !r.indirect || n != 1 || d.flags&descNext != 0 {
		return errIndirect
	}
	table, entries, err := cr.table(d)
	if err != nil {
		return err
	}
	for i := range entries {
		e := loadDescriptor(unsafe.Add(table, descSize*i))
		e.flags = uint16(e.next) // likewise
		if e.flags&descIndirect != 0 {
			return errNested
		}
		if err := cr.add(&e); err != nil {
			return err
		}
	}
	return nil
}

func (r *packed) unpop(c *Chain) { r.avail = r.avail.sub(c.count, r.size) }

func (r *packed) push(c *Chain, written uint32) {
	r.put(r.used, c, written)
	r.used = r.used.add(c.count, r.size)
	r.since += uint32(c.count)
}

// put writes the used entry for c at p.
func (r *packed) put(p position, c *Chain, written uint32) {
	e := r.at(p)
	flags := uint16(0)
	if p.wrap() {
		flags = descAvail | descUsed
	}
	if len(c.In) > 0 {
		flags |= descWrite
	}
	*(*uint32)(unsafe.Add(e, 8)) = written
	store16(unsafe.Add(e, 12), c.id)
	store16(unsafe.Add(e, 14), flags) // last: it hands the entry over
}

// pushAll writes the first entry last: the driver looks at no other before that
// one (section 2.8.7).
func (r *packed) pushAll(c []*Chain, written []int) {
	first := r.used
	p := first.add(c[0].count, r.size)
	r.since += uint32(c[0].count)
	for i := 1; i < len(c); i++ {
		r.since += uint32(c[i].count)
		r.put(p, c[i], uint32(written[i]))
		p = p.add(c[i].count, r.size)
	}
	r.put(first, c[0], uint32(written[0]))
	r.used = p
}

func (r *packed) notify(want bool) {
	switch {
	case !want:
		store16(unsafe.Add(r.device, 2), eventDisable)
		return
	case r.events:
		store16(r.device, uint16(r.avail))
		store16(unsafe.Add(r.device, 2), eventDesc)
	default:
		store16(unsafe.Add(r.device, 2), eventEnable)
	}
	barrier()
}

func (r *packed) interruptWanted() bool {
	old, since := r.told, r.since
	if since == 0 {
		return false
	}
	r.told, r.since = r.used, 0
	barrier()
	switch flags := load16(unsafe.Add(r.driver, 2)); {
	case flags == eventDisable:
		return false
	case flags != eventDesc || !r.events:
		return true
	case since >= uint32(r.size): // a lap and more passes every event
		return true
	}
	// Whether the event lies in what was added, counted from one lap before.
	event := position(load16(r.driver))
	at := int(event.offset())
	if event.wrap() != r.used.wrap() {
		at -= int(r.size)
	}
	now, then := int(r.used.offset()), int(old.offset())
	if old.wrap() != r.used.wrap() {
		then -= int(r.size)
	}
	return then <= at && at < now
}

func (r *packed) save(s *QueueState) { s.Avail, s.Used = uint16(r.avail), uint16(r.used) }
