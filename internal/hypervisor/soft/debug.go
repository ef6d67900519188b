package soft

import (
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// Debug registers, single steps and breakpoints. Source: Intel SDM volume 3, chapter 18.2 and 18.3.

// Bits of DR6 and DR7.
const (
	dr6BD      = 1 << 13
	dr6BS      = 1 << 14
	dr6Known   = 0xE00F
	dr6Ones    = 0xFFFF_0FF0
	dr7GD      = 1 << 13
	dr7Ones    = 1 << 10
	dr7Known   = 0xFFFF_23FF
	registers4 = 4 // breakpoints
)

// Kinds of breakpoints: R/W in DR7.
const (
	breakCode   = 0
	breakWrite  = 1
	breakIO     = 2 // with CR4.DE
	breakAccess = 3
)

// debug is what the debug registers have the processor watch.
type debug struct {
	code, data, ports bool   // there is a breakpoint of that kind
	trap              uint64 // bits of DR6 for which there is a #DB after the instruction
	// decided: SYSCALL and SYSRET find by the new RFLAGS.TF whether a single step ends with them.
	decided bool
	// partial: the last instruction was an iteration of a repetition that goes on.
	partial bool
	// delivered counts exceptions and interrupts that have been delivered.
	delivered uint64
}

// kindOf and lengthOf are those of a breakpoint; enabled reports whether it is.
func (c *CPU) kindOf(i int) uint64   { return c.dr[7] >> (16 + 4*i) & 3 }
func (c *CPU) enabled(i int) bool    { return c.dr[7]>>(2*i)&3 != 0 }
func (c *CPU) lengthOf(i int) uint64 { return [4]uint64{1, 2, 8, 4}[c.dr[7]>>(18+4*i)&3] }

// armBreakpoints finds what is to be watched, after DR7, an address or CR4.DE have changed.
func (c *CPU) armBreakpoints() {
	d := &c.debug
	d.code, d.data, d.ports = false, false, false
	for i := range registers4 {
		if !c.enabled(i) {
			continue
		}
		switch c.kindOf(i) {
		case breakCode:
			d.code = true
		case breakIO:
			d.ports = d.ports || c.cr4&cr4DE != 0
		default:
			d.data = true
		}
	}
	if d.data {
		c.flushTLB(true) // the pages that are watched must not be in it
	}
	c.attend.Store(true)
}

// matching are the bits of DR6 of the breakpoints that an access to n bytes meets.
func (c *CPU) matching(addr, n uint64, kinds ...uint64) (bits uint64) {
	for i := range registers4 {
		if !c.enabled(i) {
			continue
		}
		for _, k := range kinds {
			size := c.lengthOf(i)
			if at := c.dr[i] &^ (size - 1); c.kindOf(i) == k && addr < at+size && at < addr+n {
				bits |= 1 << i
			}
		}
	}
	return bits
}

// watched reports whether a page has a data breakpoint.
func (c *CPU) watched(addr uint64) bool {
	return c.matching(addr&^(pageSize-1), pageSize, breakWrite, breakAccess) != 0
}

// noteAccess and notePort have a breakpoint's #DB follow the instruction.
func (c *CPU) noteAccess(addr uint64, n int, a access) {
	if !c.debug.data || c.implicit {
		return
	}
	bits := c.matching(addr, uint64(n), breakAccess)
	if a == accessWrite {
		bits |= c.matching(addr, uint64(n), breakWrite)
	}
	c.trapAfter(bits)
}

func (c *CPU) notePort(port uint64, n uint8) {
	if c.debug.ports {
		c.trapAfter(c.matching(port, uint64(n), breakIO))
	}
}

func (c *CPU) trapAfter(bits uint64) {
	if bits != 0 {
		c.debug.trap |= bits
		c.code.changed = true // nothing of the same run follows
		c.attend.Store(true)
	}
}

// watching reports whether instructions are to be executed one at a time: RF is cleared after one.
func (c *CPU) watching() bool {
	return c.flags.other&(flagTF|flagRF) != 0 || c.debug.code || c.bounded()
}

// observed executes one instruction as breakpoints and RFLAGS.TF want it; true: e has an exit.
func (c *CPU) observed(e *hypervisor.Exit) bool {
	c.attend.Store(true) // no second instruction follows
	resumed := c.flags.other&flagRF != 0 || c.debug.partial || len(c.bus.done) != 0
	step := c.flags.other&flagTF != 0
	if c.debug.code && !resumed && !c.shadowStack {
		if bits := c.matching(c.linear(), 1, breakCode); bits != 0 {
			c.dr[6] |= bits
			return c.failed(Fault{Vector: vectorDB}, e)
		}
	}
	if c.bounded() && !c.fetchable() {
		return c.leave(faulted, e)
	}
	c.flags.other &^= flagRF
	c.debug.partial, c.debug.decided, c.shadowStack = false, false, false
	before := c.debug.delivered
	if c.executing(e, true) {
		return true
	}
	if step && c.debug.delivered == before && !c.debug.decided && !c.shadowStack {
		c.debug.trap |= dr6BS
	}
	return false
}

// trapped delivers the #DB that follows an instruction.
func (c *CPU) trapped(e *hypervisor.Exit) bool {
	c.dr[6] |= c.debug.trap
	c.halted, c.debug.trap = false, 0
	c.keepRF()
	return c.failed(Fault{Vector: vectorDB}, e)
}

// keepRF sets RF, which is pushed, where the instruction was an iteration of a repetition.
func (c *CPU) keepRF() {
	if c.debug.partial {
		c.flags.other |= flagRF
		c.debug.partial = false
	}
}

// stepDecided is the end of SYSCALL and SYSRET, which see RFLAGS.TF as they leave it.
func (c *CPU) stepDecided() {
	c.debug.decided = true
	if c.flags.other&flagTF != 0 {
		c.trapAfter(dr6BS)
	}
}

// movDR is MOV to and from debug registers.
func movDR(c *CPU, u *uop) status {
	n := u.Reg
	switch {
	case n > 7, (n == 4 || n == 5) && c.cr4&cr4DE != 0:
		return c.raise(vectorUD)
	case c.cpl != 0:
		return c.raise(vectorGP)
	case c.dr[7]&dr7GD != 0:
		c.dr[6] |= dr6BD
		c.flags.other |= flagRF // a fault, unlike those of breakpoints
		return c.raise(vectorDB)
	case n == 4 || n == 5:
		n += 2
	}
	if u.Opcode == 0x23 {
		return c.setDR(n, c.R[u.RM]&mask(u.OperandSize))
	}
	v := c.dr[n]
	switch n {
	case 6:
		v |= dr6Ones
	case 7:
		v |= dr7Ones
	}
	c.setReg(u, u.RM, u.OperandSize, v)
	return next
}

func (c *CPU) setDR(n decode.Reg, v uint64) status {
	if n >= 6 && v>>32 != 0 {
		return c.raise(vectorGP)
	}
	switch n {
	case 6:
		v &= dr6Known
	case 7:
		v &= dr7Known
	}
	c.dr[n] = v
	if n != 6 {
		c.armBreakpoints()
	}
	return next
}

// icebp is INT1: a #DB after the instruction, for which no gate's privilege counts. One that MOV SS has
// held back is part of it: a second would use the stack of the first.
func icebp(c *CPU, u *uop) status {
	c.dr[6] |= c.debug.trap
	c.debug.trap = 0
	s := c.interruptAfter(u, vectorDB, external)
	if s == jumped {
		c.dr[7] &^= dr7GD
	}
	return s
}
