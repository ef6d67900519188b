package soft

import "time"

// tscKHz is the frequency of the guest's time stamp counter: any, as long as it is told. So
// high that no two reads are alike.
const tscKHz = 1_000_000

// clock is the time that the guest sees.
type clock struct {
	start  time.Time
	offset uint64
}

// tsc is the time stamp counter.
func (c *CPU) tsc() uint64 {
	return uint64(time.Since(c.clock.start))*tscKHz/1_000_000 + c.clock.offset
}

func (c *CPU) setTSC(v uint64) {
	c.clock.offset = 0
	c.clock.offset = v - c.tsc()
}
