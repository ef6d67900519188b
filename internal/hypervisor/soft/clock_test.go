package soft

import (
	"testing"
	"time"
)

// Time goes on after hours, and timers expire as late.
func TestHours(t *testing.T) {
	const hour = uint64(time.Hour)
	g := newTiny(t, long0, "")
	g.apic = newAPIC(g.CPU, 0)
	a := g.apic
	t.Cleanup(a.stop)
	pending := func() bool { return a.reg[apicIRR+1] != 0 }
	for _, hours := range []uint64{0, 3, 6, 24, 1000} {
		g.clock.start = time.Now().Add(-time.Duration(hours * hour))
		if at := g.tsc(); at < hours*hour || at > hours*hour+hour {
			t.Fatalf("%d at %d hours", at, hours)
		}
		a.reset()
		a.reg[apicSVR], a.reg[apicLVTTimer] = apicEnabled, timerDeadline<<17|0x30
		a.setDeadline(g.tsc() + 4*hour)
		a.expired() // of a time before
		if !a.timer.runs || !a.timer.host.Stop() || pending() {
			t.Errorf("at %d hours a timer of 4 hours has expired", hours)
		}
		g.clock.start = g.clock.start.Add(-5 * time.Hour)
		if a.expired(); a.timer.runs || !pending() {
			t.Errorf("at %d hours a timer has not expired", hours)
		}
	}
}

// A timer that the guest's clock overtakes or leaves behind is not lost.
func TestTimersFollowTheClock(t *testing.T) {
	g := newTiny(t, long0, "")
	g.apic = newAPIC(g.CPU, 0)
	a := g.apic
	t.Cleanup(a.stop)
	a.reg[apicSVR], a.reg[apicLVTTimer] = apicEnabled, timerDeadline<<17|0x30
	g.setTSC(1 << 50)
	a.setDeadline(1) // long ago
	if a.left() != 0 {
		t.Errorf("%d ticks to what is over", a.left())
	}
	a.setDeadline(1<<50 + uint64(time.Hour))
	g.setTSC(1 << 49)
	if a.expired(); !a.timer.runs || a.left() < 1<<49 {
		t.Error("it has expired, or never will")
	}
}

// Where instructions are counted the timer expires before the next one, also after an instruction that is executed alone: else it
// would depend on whether the host kicks the processor just then.
func TestTheTimerFollowsASingleInstruction(t *testing.T) {
	g := newTiny(t, long0, "90 90 F4")
	g.clock.counted = true
	g.clock.expireAt(ticksOfInstruction)
	g.attend.Store(false)
	if g.executing(&g.exit, true) || g.retired != 1 || !g.attend.Load() {
		t.Errorf("%d instructions, %+v", g.retired, g.exit)
	}
}
