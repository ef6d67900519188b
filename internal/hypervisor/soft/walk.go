package soft

import (
	"sync/atomic"
	"unsafe"
)

// Bits of page table entries.
const (
	pagePresent  = 1 << 0
	pageWrite    = 1 << 1
	pageUser     = 1 << 2
	pageAccessed = 1 << 5
	pageDirty    = 1 << 6
	pageLarge    = 1 << 7
	pageGlobal   = 1 << 8
	pageNX       = 1 << 63

	pageAddress = 0x000F_FFFF_FFFF_F000
)

// Bits of a page fault's error code.
const (
	faultPresent = 1 << 0
	faultWrite   = 1 << 1
	faultUser    = 1 << 2
	faultBits    = 1 << 3
	faultFetch   = 1 << 4
)

// isCanonical reports whether the upper bits of an address repeat bit 47.
func isCanonical(v uint64) bool { return int64(v<<16)>>16 == int64(v) }

// translate walks the page tables for a linear address; where it may not be used so, c.fault
// is set. Source: Intel SDM volume 3, chapter 4.5 and 4.6.
func (c *CPU) translate(addr uint64, a access) (phys uint64, ok bool) {
	walk, ok := c.translated(addr, a)
	return walk.phys | addr&(walk.size-1), ok
}

// translated is the page of a linear address.
func (c *CPU) translated(addr uint64, a access) (walked, bool) {
	if c.cr0&cr0PG == 0 {
		return walked{phys: addr & 0xFFFF_FFFF &^ (pageSize - 1), size: pageSize}, true
	}
	if !isCanonical(addr) {
		c.fault = Fault{Vector: vectorGP, Addr: addr} // stackFault finds whether it is #SS
		return walked{}, false
	}
	walk, code := c.walk(addr, a)
	if walk.size == 0 {
		c.fault = Fault{Vector: vectorPF, Code: code | c.faultCode(a), Addr: addr}
	}
	return walk, walk.size != 0
}

// faultCode are the bits of the error code that describe the access.
func (c *CPU) faultCode(a access) (code uint32) {
	if c.isUser() {
		code |= faultUser
	}
	if a == accessWrite {
		code |= faultWrite
	}
	if a == accessFetch && c.efer&eferNX != 0 {
		code |= faultFetch
	}
	return code
}

// walked is the page that a walk has found: 4 KiB, 2 MiB or 1 GiB; size 0: none.
type walked struct {
	phys, size uint64
	global     bool
}

// walk returns the page, or the bits of the error code that say why not.
func (c *CPU) walk(addr uint64, a access) (walked, uint32) {
	table := c.cr3 & pageAddress
	rights := uint64(pageWrite | pageUser)
	nx := false
	for level := 3; ; level-- {
		e := c.entry(table + addr>>(12+9*level)&511*8)
		if e == nil || atomic.LoadUint64(e)&pagePresent == 0 {
			return walked{}, 0
		}
		v := atomic.LoadUint64(e)
		rights &= v
		nx = nx || v&pageNX != 0
		leaf := level == 0 || v&pageLarge != 0 && level < 3
		size := uint64(pageSize) << (9 * level)
		if v&pageNX != 0 && c.efer&eferNX == 0 || v>>c.physBits()&(1<<(52-c.physBits())-1) != 0 || v&pageLarge != 0 && level == 3 ||
			leaf && level > 0 && v&pageAddress&(size-1)&^(1<<12) != 0 {
			return walked{}, faultPresent | faultBits
		}
		if !leaf {
			mark(e, pageAccessed) // whatever comes of the entries below
			table = v & pageAddress
			continue
		}
		if !c.permitted(rights, nx, a) {
			return walked{}, faultPresent
		}
		if a == accessWrite {
			mark(e, pageAccessed|pageDirty)
		} else {
			mark(e, pageAccessed)
		}
		return walked{v & pageAddress &^ (size - 1), size, v&pageGlobal != 0 && c.cr4&cr4PGE != 0}, 0
	}
}

// physBits is how many bits a physical address has.
func (c *CPU) physBits() int { return 46 }

// permitted reports whether a page with these rights may be used so.
func (c *CPU) permitted(rights uint64, nx bool, a access) bool {
	user := c.isUser()
	switch {
	case user && rights&pageUser == 0:
		return false
	case a == accessFetch:
		return !nx && (user || rights&pageUser == 0 || c.cr4&cr4SMEP == 0)
	case a == accessWrite:
		return rights&pageWrite != 0 || !user && c.cr0&cr0WP == 0
	}
	return true
}

// mark sets bits of an entry.
func mark(e *uint64, bits uint64) {
	if atomic.LoadUint64(e)&bits != bits {
		atomic.OrUint64(e, bits)
	}
}

// entry is a page table's at a physical address; nil: there is no memory, or a device's, in which no bits can be set.
func (c *CPU) entry(phys uint64) *uint64 {
	page, write := c.ram.Page(phys &^ (pageSize - 1))
	if page == nil || !write {
		return nil
	}
	return (*uint64)(unsafe.Pointer(&page[phys&(pageSize-1)&^7]))
}
