package pvh

import (
	"cmp"
	"slices"
)

// MapBuilder makes a memory map out of ranges given in any order. Where
// ranges overlap, every other type replaces RAM, so a caller adds the machine's whole
// RAM and then what is taken out of it. The zero value is ready for use.
type MapBuilder struct {
	ram, other []MemMapEntry
	err        error // the first bad range, for Build
}

// Add adds size bytes at addr. An empty range adds nothing. A range of unknown
// type or above AddrLimit makes Build fail.
func (b *MapBuilder) Add(addr, size uint64, t MemType) {
	e := MemMapEntry{Addr: addr, Size: size, Type: t}
	if size == 0 || b.err != nil {
		return
	}
	if b.err = CheckMap([]MemMapEntry{e}); b.err != nil {
		return
	}
	if t == RAM {
		b.ram = append(b.ram, e)
	} else {
		b.other = append(b.other, e)
	}
}

// Build returns the map: in ascending order, without overlaps, neighbours of
// one type merged. Ranges of one type may overlap; ranges of two types other
// than RAM may not (ErrOverlap). More than MaxEntries entries are an error
// (ErrTooManyEntries), and so is a bad range given to Add.
func (b *MapBuilder) Build() ([]MemMapEntry, error) {
	if b.err != nil {
		return nil, b.err
	}
	other, err := union(b.other)
	if err != nil {
		return nil, err
	}
	ram, err := union(b.ram)
	if err != nil {
		return nil, err
	}
	m := append(subtract(ram, other), other...)
	slices.SortFunc(m, byAddr)
	return m, CheckMap(m)
}

func byAddr(a, b MemMapEntry) int { return cmp.Compare(a.Addr, b.Addr) }

// union sorts a copy of es and merges what overlaps or touches and is of one
// type.
func union(es []MemMapEntry) ([]MemMapEntry, error) {
	es = slices.Clone(es)
	slices.SortFunc(es, byAddr)
	out := es[:0]
	for _, e := range es {
		if len(out) == 0 {
			out = append(out, e)
			continue
		}
		last := &out[len(out)-1]
		switch {
		case e.Type == last.Type && e.Addr <= last.End():
			last.Size = max(last.End(), e.End()) - last.Addr
		case e.Addr < last.End():
			return nil, &OverlapError{A: *last, B: e}
		default:
			out = append(out, e)
		}
	}
	return out, nil
}

// subtract returns what of ram no range of holes covers. Both are sorted and
// without overlaps.
func subtract(ram, holes []MemMapEntry) []MemMapEntry {
	var out []MemMapEntry
	for _, r := range ram {
		for len(holes) > 0 && holes[0].End() <= r.Addr {
			holes = holes[1:]
		}
		at := r.Addr
		for _, h := range holes {
			if h.Addr >= r.End() {
				break
			}
			if h.Addr > at {
				out = append(out, MemMapEntry{Addr: at, Size: h.Addr - at, Type: r.Type})
			}
			at = max(at, h.End())
		}
		if at < r.End() {
			out = append(out, MemMapEntry{Addr: at, Size: r.End() - at, Type: r.Type})
		}
	}
	return out
}
