package soft

import "time"

// tscKHz is the frequency of the guest's time stamp counter: any, as long as the guest can read it. So
// high that no two reads are alike.
const (
	tscKHz            = 1_000_000
	nanosecondsOfTick = 1_000_000 / tscKHz
)

// clock is the time that the guest sees, in ticks of the time stamp counter, of which each is a nanosecond.
type clock struct {
	start  time.Time // tick 0
	offset uint64    // what the guest has set the counter to is that much ahead
	// counted: time is that of instructions, and stands still while the processor waits: warped are the ticks that it has been
	// set forward instead. due is the tick at which the timer expires, 0: none; limit the count of instructions then.
	counted            bool
	warped, due, limit uint64
}

// ticksOfInstruction is how much time passes by an instruction, where instructions are counted: as much as the interpreter
// takes for one.
const ticksOfInstruction = 4

// never is a count that no processor comes to.
const never = ^uint64(0)

// countedStart is what the wall clock begins with where instructions are counted: the same in each run.
var countedStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ticks is the time since the start.
func (c *CPU) ticks() uint64 {
	if c.clock.counted {
		return c.retired*ticksOfInstruction + c.clock.warped
	}
	return uint64(time.Since(c.clock.start)) / nanosecondsOfTick
}

// tsc is the time stamp counter.
func (c *CPU) tsc() uint64 { return c.ticks() + c.clock.offset }

func (c *CPU) setTSC(v uint64) { c.clock.offset = v - c.ticks() }

// expireAt has the timer expire at a tick; 0: not.
func (k *clock) expireAt(tick uint64) {
	k.due, k.limit = tick, never
	if tick != 0 {
		k.limit = 0
		if tick > k.warped {
			k.limit = (tick - k.warped + ticksOfInstruction - 1) / ticksOfInstruction
		}
	}
}

// expireCounted has the timer expire, where instructions are counted and its tick has come.
func (c *CPU) expireCounted() {
	if c.clock.counted && c.clock.due != 0 && c.ticks() >= c.clock.due {
		c.clock.expireAt(0)
		c.apic.expired()
	}
}

// warp sets the time forward to the timer's tick, in place of a wait for it. false: there is none, or no such time.
func (c *CPU) warp() bool {
	k := &c.clock
	if !k.counted || k.due == 0 || c.waits {
		return false
	}
	if now := c.ticks(); now < k.due {
		k.warped += k.due - now
	}
	c.expireCounted()
	return true
}
