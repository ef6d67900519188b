package soft

import (
	"sync"
	"sync/atomic"
)

// codeMap is what a machine's processors share about pages from which instructions were decoded. A
// write to such a page goes the slow way, which asks the map whether it meets an instruction.
//
// A processor may still write to a page by a translation that it kept, after another one has begun to
// decode from it: until it comes to its next branch, where it finds the page in its claims, gives the
// translation up, and has the page decoded anew. Code that one processor has written is executed by another
// only after both have agreed about it, which takes a branch (Intel SDM volume 3, chapter 8.1.3).
type codeMap struct {
	mu      sync.Mutex
	world   *world
	claimed int                          // pages that regions have
	regions []atomic.Pointer[codeRegion] // by physical address / regionBytes
}

const (
	regionPages = 512
	regionBytes = regionPages * pageSize
)

type codeRegion [regionPages]atomic.Pointer[sharedPage]

// sharedPage is a page that has, or had, instructions.
type sharedPage struct {
	// state is even while the page has no instructions; it grows by each change.
	state atomic.Uint32
	bytes [pageSize / 64]atomic.Uint64 // a bit for each byte of an instruction
}

func newCodeMap(size uint64, w *world) *codeMap {
	return &codeMap{world: w, regions: make([]atomic.Pointer[codeRegion], (size+regionBytes-1)/regionBytes)}
}

// at is a physical page's; nil: it never had instructions.
func (m *codeMap) at(phys uint64) *sharedPage {
	i := phys / regionBytes
	if i >= uint64(len(m.regions)) {
		return nil
	}
	r := m.regions[i].Load()
	if r == nil {
		return nil
	}
	return r[phys/pageSize%regionPages].Load()
}

// has reports whether a page has instructions.
func (m *codeMap) has(phys uint64) bool {
	p := m.at(phys)
	return p != nil && p.state.Load()&1 != 0
}

// claim makes a page one that has instructions, before c reads them: no processor writes to it unseen any more.
func (m *codeMap) claim(c *CPU, phys uint64) (p *sharedPage, state uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if phys/regionBytes >= uint64(len(m.regions)) { // a page that a device shows
		return new(sharedPage), 0
	}
	if p = m.at(phys); p == nil {
		p = m.newPage(c, phys)
	}
	if state = p.state.Load(); state&1 != 0 {
		return p, state
	}
	for i := range p.bytes {
		p.bytes[i].Store(0)
	}
	state = p.state.Add(1)
	c.protect(phys)
	for _, other := range m.world.cpus {
		if other != c {
			other.claims.add(phys)
			other.wake()
		}
	}
	return p, state
}

// maxClaimed bounds the pages of the map, which take some 600 bytes each: a guest may have instructions in every page.
const maxClaimed = 8192

// newPage puts a page into the map.
func (m *codeMap) newPage(c *CPU, phys uint64) *sharedPage {
	if m.claimed == maxClaimed {
		m.forget(c)
	}
	m.claimed++
	region := &m.regions[phys/regionBytes]
	if region.Load() == nil {
		region.Store(new(codeRegion))
	}
	p := new(sharedPage)
	region.Load()[phys/pageSize%regionPages].Store(p)
	return p
}

// forget takes all pages out of the map: what was decoded from them is decoded anew.
func (m *codeMap) forget(c *CPU) {
	for i := range m.regions {
		r := m.regions[i].Swap(nil)
		if r == nil {
			continue
		}
		for j := range r {
			if p := r[j].Load(); p != nil && p.state.Load()&1 != 0 {
				p.state.Add(1)
			}
		}
	}
	m.claimed = 0
	c.code.forgetJumps()
	m.notifyChanged(c)
}

// notifyChanged has all other processors find the targets of their branches again.
func (m *codeMap) notifyChanged(c *CPU) {
	for _, other := range m.world.cpus {
		if other != c {
			other.claims.changed.Store(true)
			other.wake()
		}
	}
}

// written is a store of at most 8 bytes within a page. It reports whether it has met an instruction: then
// nothing that was decoded from the page holds any more.
func (m *codeMap) written(c *CPU, phys uint64) bool {
	c.claims.barrier.Add(1) // before it asks, so that who marks bytes and then reads them has seen it, or is seen
	p := m.at(phys)
	if p == nil || p.state.Load()&1 == 0 {
		return false
	}
	first := phys & (pageSize - 1)
	for at := first; at < min(first+8, pageSize); at++ {
		if p.bytes[at/64].Load()&(1<<(at%64)) != 0 {
			m.spoilt(c, p)
			return true
		}
	}
	return false
}

// spoilt has all that was decoded from a page decoded anew.
func (m *codeMap) spoilt(c *CPU, p *sharedPage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.state.Load()&1 == 0 {
		return
	}
	p.state.Add(1)
	m.notifyChanged(c)
}

// mark sets the bits of an instruction's bytes, n of which lie in the page from off on.
func (p *sharedPage) mark(off, n uint64) {
	for at := off; at < off+n; at++ {
		p.bytes[at/64].Or(1 << (at % 64))
	}
}

// claims are what other processors have done to pages since this one last came to a branch.
type claims struct {
	changed atomic.Bool // instructions were written
	some    atomic.Bool // pages has some
	barrier atomic.Uint32
	mu      sync.Mutex
	pages   []uint64
}

// maxClaims bounds the list. To a processor to which more have come each page that it can write to is one.
const maxClaims = 4096

func (l *claims) add(phys uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pages) <= maxClaims {
		l.pages = append(l.pages, phys)
	}
	l.some.Store(true)
}

// applyClaims is what this processor does about them, at a branch.
func (c *CPU) applyClaims() {
	l := &c.claims
	if l.changed.Swap(false) {
		c.code.forgetJumps()
	}
	if !l.some.Load() {
		return
	}
	l.mu.Lock()
	pages := l.pages
	l.pages = nil
	l.some.Store(false)
	l.mu.Unlock()
	if len(pages) > maxClaims {
		pages = c.writablePages()
	}
	for _, phys := range pages {
		if !c.protect(phys) {
			continue
		}
		if p := c.code.shared.at(phys); p != nil {
			c.code.shared.spoilt(c, p) // it may have been written in between
			c.code.forgetJumps()
		}
	}
}
