package soft

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// Decoded instructions lie in memory of fixed size outside of Go's heap. When it is full all are forgotten, and
// decoded anew as they are executed.
const (
	maxUops   = 5 << 15
	maxPages  = 1 << 11
	startsLog = 17
	maxStarts = 1 << startsLog * 3 / 4
	jumpsLog  = 12

	// maxRun is how many instructions follow each other without a poll for interrupts.
	maxRun = 64
)

// codeCache keeps decoded instructions by where they lie in guest-physical memory, and by the mode that they
// were decoded for. They lie in runs: instructions that follow each other to one that always branches. A run is
// entered at its start only; one that comes to the start of another goes on there.
type codeCache struct {
	shared *codeMap
	*codeStore
	uops, pages, starts int // of the store, that are used
	index               map[uint64]uint16
	crossing            map[uint32]uint16 // the second page of an instruction that lies in two, by its start's key
	scratch             [maxRun + 1]uop

	// epoch counts flushes of the TLB: between two of them no guest begins to execute what a device has written.
	epoch uint64
	// jumps find an instruction by its linear address. key is that of entries that hold: it changes where
	// translations may have changed, and has the mode and the privilege.
	jumps   [1 << jumpsLog]jump
	key     uint64
	csBase  uint64
	changed bool // instructions after the one that is executed may be others now
}

type jump struct {
	at, key uint64
	to      *uop
}

// codeStore is the memory.
type codeStore struct {
	uop  [maxUops]uop
	page [maxPages]codePage
	// start finds a run: a table with open addressing, by page and offset.
	start [1 << startsLog]struct{ key, uop uint32 }
}

// codePage is a page as it was when instructions were decoded from it.
type codePage struct {
	shared   *sharedPage
	state    uint32 // of shared
	mode     decode.Mode
	epoch    uint64 // in which bytes were found to be those of snapshot
	snapshot [pageSize]byte
}

func newCodeStore() (*codeStore, error) {
	b, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(codeStore{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	return (*codeStore)(unsafe.Pointer(&b[0])), nil
}

// close gives the memory back.
func (s *codeStore) close() error {
	return unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s)))
}

// forget forgets all instructions.
func (k *codeCache) forget() {
	clear(k.start[:])
	k.index, k.crossing = map[uint64]uint16{}, map[uint32]uint16{}
	k.uops, k.pages, k.starts = 0, 0, 0
	k.forgetJumps()
}

// forgetJumps has each branch find its target again.
func (k *codeCache) forgetJumps() {
	k.key += keyCount
	k.changed = true
}

// Of a key: the mode, whether it is the user's, and a count.
const (
	keyUser  = 1 << 2
	keyCount = 1 << 3
)

// setKey has the key follow the mode and the privilege.
func (c *CPU) setKey() {
	k := &c.code
	if base := c.segments[decode.CS].base; c.mode != decode.Mode64 && base != k.csBase {
		k.csBase = base
		k.key += keyCount
	}
	k.key = k.key&^(keyCount-1) | uint64(c.mode)
	if c.cpl == 3 {
		k.key |= keyUser
	}
}

func startKey(page uint16, off uint64) uint32 { return uint32(page)<<12 | uint32(off) | 1<<31 }

func startSlot(key uint32) uint32 { return key * 0x9E37_79B1 >> (32 - startsLog) }

// startAt is the run that starts at an offset of a page; nil: there is none.
func (k *codeCache) startAt(page uint16, off uint64) *uop {
	key := startKey(page, off)
	for i := startSlot(key); ; i = (i + 1) & (1<<startsLog - 1) {
		switch e := &k.start[i]; e.key {
		case key:
			return &k.uop[e.uop]
		case 0:
			return nil
		}
	}
}

// keep puts a run that starts at an offset of a page into the store.
func (k *codeCache) keep(page uint16, off uint64, run []uop) *uop {
	key := startKey(page, off)
	i := startSlot(key)
	for k.start[i].key != 0 {
		i = (i + 1) & (1<<startsLog - 1)
	}
	k.start[i].key, k.start[i].uop = key, uint32(k.uops)
	k.starts++
	first := k.uops
	k.uops += copy(k.uop[first:], run)
	return &k.uop[first]
}

// full reports whether there is no room for a page and a run more.
func (k *codeCache) full() bool {
	return k.uops+2*len(k.scratch) > maxUops || k.pages+2 > maxPages || k.starts+2 > maxStarts
}

// find is the instruction at RIP, decoded; nil: c.fault is set.
func (c *CPU) find() *uop {
	k := &c.code
	j := &k.jumps[(c.RIP^c.RIP>>jumpsLog)&(1<<jumpsLog-1)]
	if j.at == c.RIP && j.key == k.key {
		return j.to
	}
	u := c.lookUp(c.linear())
	if u != nil {
		*j = jump{c.RIP, k.key, u}
	}
	return u
}

// linear is the linear address of RIP.
func (c *CPU) linear() uint64 {
	if c.mode == decode.Mode64 {
		return c.RIP
	}
	return (c.bases[decode.CS] + c.RIP) & 0xFFFF_FFFF
}

func (c *CPU) lookUp(addr uint64) *uop {
	k := &c.code
	if k.full() {
		k.forget()
	}
	page, bytes := c.codePageAt(addr)
	if bytes == nil {
		return nil
	}
	off := addr & (pageSize - 1)
	if u := k.startAt(page, off); u != nil {
		if u.crosses(off) && !c.sameSecond(page, addr) {
			return c.decodeAcross(addr, page, bytes)
		}
		return u
	}
	return c.decodeRun(addr, page, bytes)
}

// crosses reports whether an instruction at an offset of its page reaches into the next one.
func (u *uop) crosses(off uint64) bool { return off+uint64(u.Len) > pageSize }

// codePageAt is the page of an address, as one that has instructions, and its bytes; nil: c.fault is set.
func (c *CPU) codePageAt(addr uint64) (uint16, *[pageSize]byte) {
	e := c.executable(addr)
	if e == nil {
		return 0, nil
	}
	k := &c.code
	phys := e.phys()
	if i, ok := k.index[phys]; ok {
		if p := &k.page[i]; p.mode == c.mode && p.state == p.shared.state.Load() && !k.stale(p, e.page) {
			return i, e.page
		}
	}
	i := uint16(k.pages)
	k.pages++
	p := &k.page[i]
	p.mode, p.epoch = c.mode, k.epoch
	p.shared, p.state = k.shared.claim(c, phys)
	p.snapshot = *e.page
	k.index[phys] = i
	return i, e.page
}

// stale reports whether others than processors, which is devices, have written to a page.
func (k *codeCache) stale(p *codePage, now *[pageSize]byte) bool {
	if p.epoch == k.epoch {
		return false
	}
	p.epoch = k.epoch
	return p.snapshot != *now
}

// sameSecond reports whether the instruction at an address still reaches into the page from which it was decoded.
func (c *CPU) sameSecond(page uint16, addr uint64) bool {
	was, ok := c.code.crossing[startKey(page, addr&(pageSize-1))]
	second, bytes := c.codePageAt(c.wrap(addr&^(pageSize-1) + pageSize))
	return ok && bytes != nil && second == was
}

// retiredSince is how many instructions lie from first up to u.
func retiredSince(first, u *uop) uint64 {
	return uint64((uintptr(unsafe.Pointer(u)) - uintptr(unsafe.Pointer(first))) / uopBytes)
}
