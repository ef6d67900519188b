package soft

import (
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// wake has the processor poll, also where it is halted.
func (c *CPU) wake() {
	c.attend.Store(true)
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// Run implements hypervisor.Processor.
func (c *CPU) Run(e *hypervisor.Exit) error {
	defer func() { c.published.Store(c.retired) }()
	c.bus.answered()
	for {
		if c.attend.Load() {
			if c.poll(e) {
				return nil
			}
			continue
		}
		if c.halted || c.waits {
			if !c.warp() {
				c.sleep()
			}
			continue
		}
		if c.executing(e, len(c.bus.done) != 0) {
			return nil
		}
	}
}

// executing executes instructions, or one; true: e has an exit.
func (c *CPU) executing(e *hypervisor.Exit, one bool) bool {
	if c.world != nil {
		c.world.giveWay()
	}
	c.executes.Lock()
	defer c.executes.Unlock()
	if one {
		left := c.single(e)
		if c.clock.counted && c.retired >= c.clock.limit {
			c.attend.Store(true)
		}
		return left
	}
	if c.clock.counted {
		return c.counting(e)
	}
	return c.stepping(e)
}

// poll handles what has come between two instructions; true: e has an exit.
func (c *CPU) poll(e *hypervisor.Exit) bool {
	c.attend.Store(false)
	c.published.Store(c.retired)
	c.applyClaims()
	c.expireCounted()
	if c.kicked.Swap(false) {
		c.attend.Store(true)
		*e = hypervisor.Exit{Kind: hypervisor.ExitKicked}
		return true
	}
	if v := c.ended.Swap(0); v != 0 {
		c.attend.Store(true)
		*e = hypervisor.Exit{Kind: hypervisor.ExitEOI, Vector: uint8(v)}
		return true
	}
	if c.resets.Swap(false) {
		c.initialise()
	}
	if c.waits {
		if v := c.starts.Swap(0); v != 0 {
			c.startUp(uint8(v))
		}
		return false
	}
	if len(c.bus.done) != 0 { // an instruction goes on with what the machine has answered
		return c.observed(e)
	}
	if c.shadow {
		c.shadow = false
		return c.observed(e)
	}
	if c.debug.trap != 0 {
		return c.trapped(e)
	}
	if !c.nmiBlocked && c.nmi.Swap(false) {
		c.halted = false
		return c.deliver(vectorNMI, e)
	}
	if c.flags.other&flagIF != 0 && c.apic != nil {
		if v, ok := c.apic.pending(); ok {
			c.apic.take(v)
			c.halted = false
			return c.deliver(v, e)
		}
	}
	if !c.halted && c.watching() {
		return c.observed(e)
	}
	c.debug.partial = false
	return false
}

// sleep waits until there is something to poll for.
func (c *CPU) sleep() {
	if !c.attend.Load() {
		<-c.woken
	}
}

// deliver enters the handler of an interrupt from outside.
func (c *CPU) deliver(vector uint8, e *hypervisor.Exit) bool {
	c.bus.finished()
	c.keepRF()
	if c.interrupt(vector, 0, false, external) {
		c.nmiBlocked = c.nmiBlocked || vector == vectorNMI
		c.attend.Store(true)
		return false
	}
	if c.unsupported != "" {
		return c.refuse(e)
	}
	return c.failed(c.fault, e)
}

// failed delivers an exception; true: that is the machine's end.
func (c *CPU) failed(f Fault, e *hypervisor.Exit) bool {
	c.bus.finished()
	if f.Vector != vectorDB {
		c.debug.trap = 0
	}
	if c.except(f) {
		c.attend.Store(true)
		return false
	}
	if c.unsupported != "" {
		return c.refuse(e)
	}
	*e = hypervisor.Exit{Kind: hypervisor.ExitShutdown}
	return true
}

// stepping executes instructions until there is something to be done at a branch; true: e has an exit.
func (c *CPU) stepping(e *hypervisor.Exit) bool {
	k := &c.code
	k.changed = false
	u := c.find()
	for u != nil {
		first, at := u, c.RIP
		s := next
		for {
			if s = u.do(c, u); s > skip {
				break
			}
			at += uint64(u.Len)
			u = u.after(1)
			if s == skip {
				at += uint64(u.Len)
				u = u.after(1)
			}
			c.RIP = at
			if k.changed {
				c.retired += retiredSince(first, u)
				return false
			}
		}
		c.retired += retiredSince(first, u)
		if s > jumped {
			return c.aborted(u, s, e)
		}
		c.retired++
		if k.changed || c.attend.Load() {
			return false
		}
		from := u
		if u = from.to; u == nil || s != branch {
			if u = c.find(); u != nil && s == branch && c.linkable(u, at) {
				from.to = u
			}
		}
	}
	return c.leave(faulted, e)
}

// counting is stepping where instructions are counted, one by one: it ends at the timer's as well.
func (c *CPU) counting(e *hypervisor.Exit) bool {
	k := &c.code
	k.changed = false
	u := c.find()
	for u != nil {
		at := c.RIP
		s := u.do(c, u)
		for s == next {
			c.retired++
			at += uint64(u.Len)
			c.RIP = at
			if k.changed || c.retired >= c.clock.limit {
				c.attend.Store(true)
				return false
			}
			u = u.after(1)
			s = u.do(c, u)
		}
		if s > jumped {
			return c.aborted(u, s, e)
		}
		c.retired++
		if k.changed || c.retired >= c.clock.limit || c.attend.Load() {
			c.attend.Store(true)
			return false
		}
		u = c.find()
	}
	return c.leave(faulted, e)
}

// linkable reports whether the branch at an address may go to u, at RIP, without asking where that is: both lie in one page.
func (c *CPU) linkable(u *uop, at uint64) bool {
	k := &c.code
	return at^c.RIP < pageSize && !u.crosses(c.RIP&(pageSize-1)) && k.csBase%pageSize == 0 && !k.changed
}

// single executes one instruction; true: e has an exit.
func (c *CPU) single(e *hypervisor.Exit) bool {
	u := c.find()
	if u == nil {
		return c.leave(faulted, e)
	}
	one := newUop(u.Inst, c.mode)
	switch s := one.do(c, &one); s {
	case next:
		c.RIP += uint64(u.Len)
		if c.mode != decode.Mode64 {
			c.RIP &= 0xFFFF_FFFF
		}
	case branch, jumped:
	default:
		return c.aborted(&one, s, e)
	}
	c.retired++
	c.bus.finished()
	return false
}

// aborted is leave for an instruction that was begun.
func (c *CPU) aborted(u *uop, s status, e *hypervisor.Exit) bool {
	c.bus.again()
	c.stackFault(u)
	return c.leave(s, e)
}

// leave is the end of an instruction that was not completed.
func (c *CPU) leave(s status, e *hypervisor.Exit) bool {
	switch {
	case c.wantsAlone:
		c.wantsAlone = false
		return c.exclusively(func() bool { return c.single(e) })
	case c.bus.waiting:
		*e = c.bus.exit
		return true
	case s == exits:
		*e = c.bus.exit
		return true
	}
	if c.fault.Vector == vectorUD {
		c.noteUndefined()
	}
	return c.failed(c.fault, e)
}
