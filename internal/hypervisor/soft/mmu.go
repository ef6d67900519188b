package soft

// RAM is guest-physical memory.
type RAM interface {
	// Page is the page at an address, which is a multiple of its size. nil: it is no memory.
	// write reports whether it may be written; what may not is a device's page.
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
	ram  RAM
	tlb  [2][tlbSize]tlbEntry // supervisor's, user's
	view *[tlbSize]tlbEntry   // that of the privilege
	once tlbEntry             // the translation of a page of which each access is checked, for a fetch
	// large and giant are true for the pages of 2 MiB and of 1 GiB of which translations may be kept, by largeSlot.
	large, giant [largeSlots]bool
	code         codeCache
}

// largeSlots are as many as 8 GiB have pages of 2 MiB, so that INVLPG seldom searches for parts of pages that are not kept.
const largeSlots = 4096

// largeSlot is where large or giant has a page of a size.
func largeSlot(addr, size uint64) uint64 { return (addr/size ^ addr>>47) % largeSlots }

const (
	tlbLog  = 10
	tlbSize = 1 << tlbLog
)

// tlbEntry is the translation of a page. read and write are the page's linear address where it may be read, and where
// it may be written and is dirty and has no code; else an address that has another entry.
type tlbEntry struct {
	read, write uint64
	page        *[pageSize]byte
	bits        uint64 // the physical address, and these
}

const (
	tlbGlobal = 1 << 0
	tlbFetch  = 1 << 1 // instructions may be fetched from it
	tlbLarge  = 1 << 2 // it is a part of a page of 2 MiB
	tlbGiant  = 1 << 3 // or of 1 GiB
)

const (
	largeBytes = 512 * pageSize
	giantBytes = 512 * largeBytes
)

func (e *tlbEntry) phys() uint64 { return e.bits &^ (pageSize - 1) }

// slotOf is the entry that an address has.
func slotOf(addr uint64) uint64 { return addr / pageSize % tlbSize }

// elsewhere is an address that has another entry than i.
func elsewhere(i int) uint64 { return uint64(i+1) % tlbSize * pageSize }

// drop empties the entry i.
func (e *tlbEntry) drop(i int) { e.read, e.write = elsewhere(i), elsewhere(i) }

// flushTLB forgets all translations, or all that are not global.
func (c *CPU) flushTLB(global bool) {
	for t := range c.tlb {
		for i := range c.tlb[t] {
			if e := &c.tlb[t][i]; global || e.bits&tlbGlobal == 0 {
				e.drop(i)
			}
		}
	}
	if global {
		c.large, c.giant = [largeSlots]bool{}, [largeSlots]bool{}
	}
	c.flushed()
}

// flushPage forgets that of one page: of a large one all parts. Source: Intel SDM volume 3, chapter 4.10.4.1.
func (c *CPU) flushPage(addr uint64) {
	if slot := largeSlot(addr, largeBytes); c.large[slot] {
		c.flushParts(addr, largeBytes, tlbLarge)
	}
	if slot := largeSlot(addr, giantBytes); c.giant[slot] {
		c.flushParts(addr, giantBytes, tlbGiant)
	}
	i := slotOf(addr)
	for t := range c.tlb {
		if e := &c.tlb[t][i]; e.read^addr < pageSize {
			e.drop(int(i))
		}
	}
	c.flushed()
}

// flushParts forgets the parts of the page of a size that an address lies in.
func (c *CPU) flushParts(addr, size, bit uint64) {
	first := slotOf(addr &^ (size - 1))
	for t := range c.tlb {
		for i := first; i < first+min(size/pageSize, tlbSize); i++ {
			if e := &c.tlb[t][i]; e.bits&bit != 0 && e.read^addr < size {
				e.drop(int(i))
			}
		}
	}
}

func (c *CPU) flushed() {
	c.code.epoch++
	c.code.forgetJumps()
}

// writablePages are the physical pages of translations that have write access.
func (c *CPU) writablePages() (pages []uint64) {
	for t := range c.tlb {
		for i := range c.tlb[t] {
			if e := &c.tlb[t][i]; e.write != elsewhere(i) {
				pages = append(pages, e.phys())
			}
		}
	}
	return pages
}

// protect takes write access from a page's translations, and reports whether one had it.
func (c *CPU) protect(phys uint64) (had bool) {
	phys &^= pageSize - 1
	for t := range c.tlb {
		for i := range c.tlb[t] {
			if e := &c.tlb[t][i]; e.bits^phys < pageSize && e.write != elsewhere(i) {
				e.write = elsewhere(i)
				had = true
			}
		}
	}
	return had
}

// isUser reports whether accesses are those of user mode.
func (c *CPU) isUser() bool { return c.cpl == 3 && !c.implicit }

// user is the number of the privilege's translations in tlb.
func (c *CPU) user() int {
	if c.isUser() {
		return 1
	}
	return 0
}

// entryOf is the entry of the privilege's translations that an address has.
func (c *CPU) entryOf(addr uint64) *tlbEntry { return &c.tlb[c.user()][slotOf(addr)] }

// bytes are n bytes of memory that lie in one page; nil: see loadSlow and storeSlow.
func (c *CPU) bytes(addr uint64, n int, a access) []byte {
	e := c.entryOf(addr)
	if e.read^addr >= pageSize || a == accessWrite && e.write^addr >= pageSize {
		if e = c.fill(addr, a); e == nil {
			return nil
		}
	}
	off := addr & (pageSize - 1)
	return e.page[off : off+uint64(n)]
}

// executable is the translation of an address from which instructions are fetched; nil: c.fault is set.
func (c *CPU) executable(addr uint64) *tlbEntry {
	e := c.entryOf(addr)
	if e.read^addr < pageSize && e.bits&tlbFetch != 0 {
		return e
	}
	if e = c.fill(addr, accessFetch); e == nil && !c.refused {
		c.raise(vectorGP) // instructions lie in memory
	}
	return e
}

// fill puts a translation into the cache, if it leads to memory that may be used so. Where it does not because of a fault,
// c.refused is true.
func (c *CPU) fill(addr uint64, a access) *tlbEntry {
	guarded := c.guarded(addr)
	if c.refused = false; guarded && a != accessFetch {
		return nil // loadSlow and storeSlow check each access
	}
	walk, ok := c.translated(addr, a)
	if c.refused = !ok; !ok {
		return nil
	}
	phys := walk.phys + addr&(walk.size-1)&^(pageSize-1)
	page, write := c.ram.Page(phys)
	if page == nil || a == accessWrite && (!write || c.code.shared.has(phys)) { // storeSlow asks what is written
		return nil
	}
	e := c.entryOf(addr)
	if guarded {
		e = &c.once
	}
	at := addr &^ (pageSize - 1)
	if guarded || e.read != at || e.phys() != phys {
		*e = tlbEntry{read: at, write: elsewhere(int(slotOf(addr))), page: page, bits: phys}
	}
	if walk.global {
		e.bits |= tlbGlobal
	}
	switch walk.size {
	case largeBytes:
		e.bits |= tlbLarge
		c.large[largeSlot(addr, largeBytes)] = true
	case giantBytes:
		e.bits |= tlbGiant
		c.giant[largeSlot(addr, giantBytes)] = true
	}
	switch a {
	case accessWrite:
		e.write = at
	case accessFetch:
		e.bits |= tlbFetch
	}
	return e
}

// loadSlow reads what is no plain memory, where addr can be translated.
func (c *CPU) loadSlow(addr uint64, n uint8) (uint64, bool) {
	addr, phys, ok := c.checked(addr, int(n), accessRead)
	if !ok {
		return 0, false
	}
	c.noteAccess(addr, int(n), accessRead)
	return c.readPhysical(phys, n)
}

func (c *CPU) storeSlow(addr uint64, n uint8, v uint64) bool {
	addr, phys, ok := c.checked(addr, int(n), accessWrite)
	if !ok {
		return false
	}
	c.noteAccess(addr, int(n), accessWrite)
	if page, write := c.ram.Page(phys &^ (pageSize - 1)); page != nil && write {
		put(page[phys&(pageSize-1):], n, v)
		c.wrote(phys)
		return true
	}
	return c.writePhysical(phys, n, v)
}
