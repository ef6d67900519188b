// Package memory is guest-physical memory: RAM regions, backed by host memory,
// and the checked access to it.
//
// Guest memory is shared with code that nobody trusts: whatever is read from it
// may change while it is examined. Read a structure once into a copy, check the
// copy, use the copy.
package memory

import (
	"errors"
	"fmt"
	"sort"
	"unsafe"
)

// Addr is a guest-physical address, in bytes.
type Addr uint64

// PageSize is the granule of slots and mappings, in bytes.
const PageSize = 4096

// HugePageSize is the size that regions are aligned to, so that the host can
// back them with huge pages and KVM can map those as such.
const HugePageSize = 2 << 20

// ErrOutside is wrapped by errors about addresses that are no RAM.
var ErrOutside = errors.New("outside guest memory")

// RangeError is an access that does not lie in one region of RAM.
type RangeError struct {
	Addr Addr
	Len  uint64
}

// Error names the range.
func (e *RangeError) Error() string {
	return fmt.Sprintf("%d bytes at guest-physical %#x: %v", e.Len, uint64(e.Addr), ErrOutside)
}

// Unwrap gives ErrOutside.
func (e *RangeError) Unwrap() error { return ErrOutside }

// Region is one range of RAM and the host memory that backs it.
type Region struct {
	Addr Addr
	Size uint64
	host []byte
}

// Host is the host memory that backs the region. The guest writes to it at any
// time.
func (r *Region) Host() []byte { return r.host }

// Pointer is the host address of the region, for a memory slot.
func (r *Region) Pointer() unsafe.Pointer { return unsafe.Pointer(&r.host[0]) }

// Map is a machine's RAM: regions sorted by address, none touching another.
// Its shape does not change once it is made, so readers need no lock.
type Map struct {
	regions []Region
	backing []byte // one mapping for all regions
	opts    Options
}

// Regions are the map's regions, lowest first.
func (m *Map) Regions() []Region { return m.regions }

// Size is the sum of all regions, in bytes.
func (m *Map) Size() (n uint64) {
	for i := range m.regions {
		n += m.regions[i].Size
	}
	return n
}

// Slice is the host memory that backs [addr, addr+n). The range must lie within one
// region; the error is a *RangeError. All accesses to guest memory go through it: no
// address from a guest is used otherwise.
func (m *Map) Slice(addr Addr, n uint64) ([]byte, error) {
	i := sort.Search(len(m.regions), func(i int) bool { return m.regions[i].Addr > addr }) - 1
	if i >= 0 {
		r := &m.regions[i]
		off := uint64(addr - r.Addr)
		if off <= r.Size && n <= r.Size-off {
			return r.host[off : off+n : off+n], nil
		}
	}
	return nil, &RangeError{addr, n}
}

// ReadAt copies guest memory at guest-physical off into p: io.ReaderAt. It
// reads across no hole.
func (m *Map) ReadAt(p []byte, off int64) (int, error) {
	s, err := m.Slice(Addr(off), uint64(len(p)))
	if err != nil {
		return 0, err
	}
	return copy(p, s), nil
}

// WriteAt copies p into guest memory at guest-physical off: io.WriterAt.
func (m *Map) WriteAt(p []byte, off int64) (int, error) {
	s, err := m.Slice(Addr(off), uint64(len(p)))
	if err != nil {
		return 0, err
	}
	return copy(s, p), nil
}
