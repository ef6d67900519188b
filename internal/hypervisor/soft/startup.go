package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// initialise is what INIT does: registers are those of a reset but for x87's, SSE's and model-specific ones, and the processor
// waits for a start-up IPI. Source: Intel SDM volume 3, chapter 9.1.
func (c *CPU) initialise() {
	const family6 = 6 << 8
	c.R = [16]uint64{rdx: family6}
	c.SetFlags(0)
	c.cr0, c.cr2, c.cr3, c.cr4, c.efer = cr0CD|cr0NW|cr0ET, 0, 0, 0, 0
	c.dr = [8]uint64{}
	const data = segmentPresent | segmentS | segmentWrite | segmentAccessed
	for s := range c.segments {
		c.segments[s] = segment{attr: data, limit: 0xFFFF}
	}
	c.segments[decode.CS].attr |= segmentCode
	c.tr = segment{attr: segmentPresent | typeTSSBusy, limit: 0xFFFF}
	c.ldt = segment{attr: segmentPresent | typeLDT, limit: 0xFFFF}
	c.gdt.Base, c.gdt.Limit, c.idt.Base, c.idt.Limit = 0, 0xFFFF, 0, 0xFFFF
	c.halted, c.shadow, c.waits = false, false, true
	c.bus.finished()
	c.debug, c.shadowStack, c.nmiBlocked = debug{}, false, false
	c.cpl = 0
	c.apic.initialised()
	c.flushTLB(true)
	c.setMode()
}

// startUp is a start-up IPI: the processor begins in real mode at the page that the vector names.
func (c *CPU) startUp(vector uint8) {
	cs := &c.segments[decode.CS]
	cs.selector, cs.base = uint16(vector)<<8, uint64(vector)<<12
	c.RIP, c.waits = 0, false
	c.setMode()
	c.attend.Store(true)
}
