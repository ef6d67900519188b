package virtiotest

import "unsafe"

// packed is the driver's side of a packed ring (section 2.8.21).
type packed struct {
	size                 uint16
	desc, driver, device unsafe.Pointer
	events               bool
	ids                  []uint16 // free buffer ids
	count                []uint16 // descriptors of each id's chain
	left                 uint16
	avail, used          uint16 // offsets
	availWrap, usedWrap  bool
	added                uint16 // descriptors since the last kickWanted
}

func newPacked(size uint16, desc, driver, device unsafe.Pointer, events bool) *packed {
	p := &packed{size: size, desc: desc, driver: driver, device: device, events: events, left: size,
		count: make([]uint16, size), availWrap: true, usedWrap: true}
	for i := range size {
		p.ids = append(p.ids, size-1-i)
	}
	return p
}

func (p *packed) put(descs []Desc) (uint16, bool) {
	if len(descs) == 0 || len(descs) > int(p.left) || len(p.ids) == 0 {
		return 0, false
	}
	id := p.ids[len(p.ids)-1]
	p.ids = p.ids[:len(p.ids)-1]
	first, firstFlags := p.avail, uint16(0)
	for i := range descs {
		d := &descs[i]
		flags := d.Flags &^ (availFlag | usedFlag)
		if p.availWrap {
			flags |= availFlag
		} else {
			flags |= usedFlag
		}
		e := unsafe.Add(p.desc, 16*int(p.avail))
		if i == 0 {
			// Its flags hand the chain over, after all else is written.
			firstFlags = flags
			flags = load16(unsafe.Add(e, 14))
		}
		storeDesc(e, uint64(d.Addr), d.Len, id, flags)
		if p.avail++; p.avail == p.size {
			p.avail, p.availWrap = 0, !p.availWrap
		}
	}
	n := uint16(len(descs))
	p.left -= n
	p.count[id] = n
	p.added += n
	store16(unsafe.Add(p.desc, 16*int(first)+14), firstFlags)
	return id, true
}

func (p *packed) take() (uint16, uint32, bool) {
	e := unsafe.Add(p.desc, 16*int(p.used))
	flags := load16(unsafe.Add(e, 14))
	if avail, used := flags&availFlag != 0, flags&usedFlag != 0; avail != used || used != p.usedWrap {
		return 0, 0, false
	}
	w := load64(unsafe.Add(e, 8))
	return uint16(w >> 32), uint32(w), true
}

func (p *packed) free(id uint16) {
	n := p.count[id]
	if p.used += n; p.used >= p.size {
		p.used, p.usedWrap = p.used-p.size, !p.usedWrap
	}
	p.left += n
	p.ids = append(p.ids, id)
}

func (p *packed) kickWanted() bool {
	added := p.added
	p.added = 0
	barrier()
	flags := load16(unsafe.Add(p.device, 2))
	if flags != 2 || !p.events {
		return flags != 1
	}
	w := load16(p.device)
	event := w &^ (1 << 15)
	if (w>>15 == 1) != p.availWrap {
		event -= p.size
	}
	return passed(event, p.avail, p.avail-added)
}

func (p *packed) interrupts(want bool) {
	switch {
	case !want:
		store16(unsafe.Add(p.driver, 2), 1)
	case p.events:
		w := p.used
		if p.usedWrap {
			w |= 1 << 15
		}
		store16(p.driver, w)
		store16(unsafe.Add(p.driver, 2), 2)
	default:
		store16(unsafe.Add(p.driver, 2), 0)
	}
	barrier()
}
