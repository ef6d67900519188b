package soft

import (
	"sync/atomic"
	"unsafe"
)

// RAM is guest-physical memory.
type RAM interface {
	// Page is the page at an address, which is a multiple of its size. nil: it is no memory.
	// write tells whether it may be written; what may not is a device's page.
	Page(addr uint64) (page *[pageSize]byte, write bool)
}

// access is what a linear address is used for.
type access uint8

const (
	accessRead access = iota
	accessWrite
	accessFetch
)

// mmu is the memory management unit: the RAM, and a cache of translations for each privilege.
type mmu struct {
	ram RAM
	tlb [2][tlbSize]tlbEntry // supervisor's, user's
	// code has the pages of which instructions are kept: a write to them goes the slow way.
	code codeCache
}

const tlbSize = 1024

// tlbEntry is the translation of a page. tag is its linear address and 1; 0: it has none.
type tlbEntry struct {
	tag   uint64
	page  *[pageSize]byte
	phys  uint64
	write bool // and it is dirty, and no code
}

// flushTLB forgets all translations.
func (c *CPU) flushTLB() {
	c.code.epoch++
	clear(c.tlb[0][:])
	clear(c.tlb[1][:])
	c.code.leave()
}

// flushPage forgets that of one page.
func (c *CPU) flushPage(addr uint64) {
	c.code.epoch++
	for i := range c.tlb {
		if e := &c.tlb[i][addr/pageSize%tlbSize]; e.tag == addr&^(pageSize-1)|1 {
			*e = tlbEntry{}
		}
	}
	c.code.leave()
}

func (c *CPU) user() int {
	if c.cpl == 3 && !c.implicit {
		return 1
	}
	return 0
}

// bytes are n bytes of memory that lie in one page; nil: see loadSlow and storeSlow.
func (c *CPU) bytes(addr uint64, n int, a access) []byte {
	e := &c.tlb[c.user()][addr/pageSize%tlbSize]
	if e.tag != addr&^(pageSize-1)|1 || a == accessWrite && !e.write {
		if e = c.fill(addr, a); e == nil {
			return nil
		}
	}
	off := addr & (pageSize - 1)
	return e.page[off : off+uint64(n)]
}

// fill puts a translation into the cache, if it leads to memory that may be used so.
func (c *CPU) fill(addr uint64, a access) *tlbEntry {
	phys, ok := c.translate(addr, a)
	if !ok {
		return nil
	}
	page, write := c.ram.Page(phys &^ (pageSize - 1))
	if page == nil || a == accessWrite && !write {
		return nil
	}
	if a == accessWrite && c.code.has(phys) {
		return nil // storeSlow looks what is written
	}
	e := &c.tlb[c.user()][addr/pageSize%tlbSize]
	*e = tlbEntry{tag: addr&^(pageSize-1) | 1, page: page, phys: phys &^ (pageSize - 1), write: a == accessWrite}
	return e
}

// loadSlow reads what is no plain memory, where addr can be translated.
func (c *CPU) loadSlow(addr uint64, n uint8) (uint64, bool) {
	phys, ok := c.translate(addr, accessRead)
	if !ok {
		return 0, false
	}
	return c.readPhysical(phys, n)
}

func (c *CPU) storeSlow(addr uint64, n uint8, v uint64) bool {
	phys, ok := c.translate(addr, accessWrite)
	if !ok {
		return false
	}
	if page, write := c.ram.Page(phys &^ (pageSize - 1)); page != nil && write {
		c.code.written(phys)
		put(page[phys&(pageSize-1):], n, v)
		return true
	}
	return c.writePhysical(phys, n, v)
}

// Bits of page table entries.
const (
	pagePresent  = 1 << 0
	pageWrite    = 1 << 1
	pageUser     = 1 << 2
	pageAccessed = 1 << 5
	pageDirty    = 1 << 6
	pageLarge    = 1 << 7
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

// isCanonical tells whether the upper bits of an address repeat bit 47.
func isCanonical(v uint64) bool { return int64(v<<16)>>16 == int64(v) }

// translate walks the page tables for a linear address; where it may not be used so, c.fault
// is set. Source: Intel SDM volume 3, chapter 4.5 and 4.6.
func (c *CPU) translate(addr uint64, a access) (phys uint64, ok bool) {
	if c.cr0&cr0PG == 0 {
		return addr & 0xFFFF_FFFF, true
	}
	if !isCanonical(addr) {
		c.raise(vectorGP)
		return 0, false
	}
	walk, code := c.walk(addr, a)
	if walk.size == 0 {
		c.fault = Fault{Vector: vectorPF, Code: code | c.faultCode(a), Addr: addr}
		return 0, false
	}
	return walk.phys | addr&(walk.size-1), true
}

// faultCode are the bits of the error code that tell the access.
func (c *CPU) faultCode(a access) (code uint32) {
	if c.cpl == 3 && !c.implicit {
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
type walked struct{ phys, size uint64 }

// walk returns the page, or the bits of the error code that tell why not.
func (c *CPU) walk(addr uint64, a access) (walked, uint32) {
	table := c.cr3 & pageAddress
	rights, entries := uint64(pageWrite|pageUser), [4]*uint64{}
	nx := false
	for level := 3; ; level-- {
		e := c.entry(table + addr>>(12+9*level)&511*8)
		if e == nil || atomic.LoadUint64(e)&pagePresent == 0 {
			return walked{}, 0
		}
		v := atomic.LoadUint64(e)
		entries[level] = e
		rights &= v
		nx = nx || v&pageNX != 0
		leaf := level == 0 || v&pageLarge != 0 && level < 3
		size := uint64(pageSize) << (9 * level)
		if v&pageNX != 0 && c.efer&eferNX == 0 || v>>c.physBits()&(1<<(52-c.physBits())-1) != 0 || v&pageLarge != 0 && level == 3 ||
			leaf && level > 0 && v&pageAddress&(size-1)&^(1<<12) != 0 {
			return walked{}, faultPresent | faultBits
		}
		if !leaf {
			table = v & pageAddress
			continue
		}
		if !c.permitted(rights, nx, a) {
			return walked{}, faultPresent
		}
		mark(entries[:], a == accessWrite, level)
		return walked{v & pageAddress &^ (size - 1), size}, 0
	}
}

// physBits is how many bits a physical address has.
func (c *CPU) physBits() int { return 46 }

// permitted tells whether a page with these rights may be used so.
func (c *CPU) permitted(rights uint64, nx bool, a access) bool {
	user := c.cpl == 3 && !c.implicit
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

// mark sets the accessed bits of the entries from a leaf's level on, and the leaf's dirty bit.
func mark(entries []*uint64, dirty bool, leaf int) {
	for level := leaf; level < len(entries); level++ {
		bits := uint64(pageAccessed)
		if dirty && level == leaf {
			bits |= pageDirty
		}
		if e := entries[level]; atomic.LoadUint64(e)&bits != bits {
			atomic.OrUint64(e, bits)
		}
	}
}

// entry is a page table's at a physical address; nil: there is no memory.
func (c *CPU) entry(phys uint64) *uint64 {
	page, _ := c.ram.Page(phys &^ (pageSize - 1))
	if page == nil {
		return nil
	}
	return (*uint64)(unsafe.Pointer(&page[phys&(pageSize-1)&^7]))
}
