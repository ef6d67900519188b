package memory

// Range is a range of guest-physical addresses: Size bytes from Addr on. It may
// be RAM or not.
type Range struct {
	Addr Addr
	Size uint64
}

// Contains reports whether all n bytes at addr are in the range.
func (r Range) Contains(addr Addr, n uint64) bool {
	return addr >= r.Addr && n <= r.Size && uint64(addr-r.Addr) <= r.Size-n
}

// Overlaps reports whether the ranges have a byte in common. An empty range
// overlaps none. Neither may extend beyond the last address.
func (r Range) Overlaps(o Range) bool {
	return r.Size > 0 && o.Size > 0 && r.Addr <= o.Addr+Addr(o.Size-1) && o.Addr <= r.Addr+Addr(r.Size-1)
}
