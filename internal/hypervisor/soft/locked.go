package soft

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/native"
)

// world is a machine's processors. It lets one of them execute an instruction while no other executes any: one that locks memory
// across cache lines, which the host's processor does badly or not at all.
type world struct {
	mu     sync.Mutex   // of the one that wants to be alone
	wanted atomic.Int32 // how many hold it, or wait for it
	cpus   []*CPU
}

// giveWay lets those go first that want to be alone: c has not locked executes, and would have it again before who waits for it.
func (w *world) giveWay() {
	if w.wanted.Load() != 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
	}
}

// cacheLine is what a locked instruction of the host's must not reach across.
const cacheLine = 64

// host is where n bytes of RAM lie that an instruction locks; nil: they lie across cache lines, or are no RAM. code: they may be
// code, at the address phys.
func (c *CPU) host(addr uint64, n uint8) (p unsafe.Pointer, phys uint64, code bool) {
	if c.refused = false; addr%cacheLine+uint64(n) > cacheLine {
		return nil, 0, false
	}
	if b := c.bytes(addr, int(n), accessWrite); b != nil {
		return unsafe.Pointer(&b[0]), 0, false
	}
	if c.refused || c.guarded(addr) {
		return nil, 0, false
	}
	phys, ok := c.translate(addr, accessWrite)
	if !ok {
		return nil, 0, false
	}
	if page, write := c.ram.Page(phys &^ (pageSize - 1)); page != nil && write {
		return unsafe.Pointer(&page[phys&(pageSize-1)]), phys, true
	}
	return nil, 0, false
}

// exchange is modifyAt by an instruction with LOCK.
func (c *CPU) exchange(addr uint64, n uint8, f func(uint64) uint64) status {
	p, phys, code := c.host(addr, n)
	if p == nil {
		if c.refused {
			return faulted
		}
		return c.exchangeSlow(addr, n, f)
	}
	before := c.flags
	for {
		old := get(p, n)
		if native.CompareAndSwap(p, n, old, f(old)) {
			break
		}
		c.flags = before
	}
	if code {
		c.wrote(phys)
	}
	return next
}

// exchangeSlow is exchange where the host can't lock: alone, or of a device's registers.
func (c *CPU) exchangeSlow(addr uint64, n uint8, f func(uint64) uint64) status {
	if c.mustBeAlone(addr, n) {
		return faulted
	}
	return c.modifyPlainly(addr, n, f)
}

// mustBeAlone reports whether the instruction is to begin anew, with no other processor executing any.
func (c *CPU) mustBeAlone(addr uint64, n uint8) bool {
	c.wantsAlone = (addr%cacheLine+uint64(n) > cacheLine || c.guarded(addr)) && !c.alone && c.world != nil && len(c.world.cpus) > 1
	return c.wantsAlone
}

// wrote is what follows a write to a page that has instructions.
func (c *CPU) wrote(phys uint64) {
	if c.code.shared.written(c, phys) {
		c.code.forgetJumps()
	}
}

// pause is PAUSE. One that waits for another processor lets it go on where there are fewer threads than processors.
func pause(c *CPU, _ *uop) status {
	const spins = 64
	if c.pauses++; c.pauses%spins == 0 && c.world != nil && len(c.world.cpus) > 1 {
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	return next
}

// exclusively calls f while no other processor executes instructions.
func (c *CPU) exclusively(f func() bool) bool {
	w := c.world
	c.executes.Unlock()
	w.wanted.Add(1)
	w.mu.Lock()
	for _, other := range w.cpus {
		if other != c {
			other.wake()
		}
		other.executes.Lock()
	}
	c.alone = true
	defer func() {
		c.alone = false
		for _, other := range w.cpus {
			if other != c {
				other.executes.Unlock()
			}
		}
		w.wanted.Add(-1)
		w.mu.Unlock()
	}()
	return f()
}
