package soft

import "time"

// The timer of a local APIC. Source: Intel SDM volume 3, chapter 10.5.4.

// apicTimerHz is the frequency of the timer before its divider: that of leaf 0x40000010.
const apicTimerHz = 1_000_000_000

// Modes of the timer.
const (
	timerPeriodic = 1
	timerDeadline = 2
)

// timer is that of a local APIC.
type timer struct {
	runs     bool
	begun    uint64      // the tick at which the count began
	deadline uint64      // TSC-deadline; 0: none
	host     *time.Timer // the host's, where instructions are not counted
}

func (a *apic) timerMode() uint32 { return a.reg[apicLVTTimer] >> 17 & 3 }

// divider is the timer's.
func (a *apic) divider() uint64 {
	d := a.reg[apicDivide]
	n := d&3 | d>>1&4
	return 1 << ((n + 1) & 7)
}

// period is how many ticks the initial count takes.
func (a *apic) period() uint64 {
	const ticks = tscKHz * 1000 / apicTimerHz
	return uint64(a.reg[apicInitial]) * a.divider() * ticks
}

// arm starts the timer anew, or stops it.
func (a *apic) arm() {
	a.disarm()
	mode := a.timerMode()
	if mode == timerDeadline || a.reg[apicInitial] == 0 {
		return
	}
	a.timer.begun = a.cpu.ticks()
	a.expireIn(a.period())
}

// expireIn has the timer expire after some ticks.
func (a *apic) expireIn(ticks uint64) {
	ticks = min(ticks, 1<<62)
	a.timer.runs = true
	if k := &a.cpu.clock; k.counted {
		k.expireAt(max(a.cpu.ticks()+ticks, 1))
		return
	}
	left := time.Duration(ticks * nanosecondsOfTick)
	if a.timer.host == nil {
		a.timer.host = time.AfterFunc(left, a.expired)
	} else {
		a.timer.host.Reset(left)
	}
}

// expired is called when the time has come.
func (a *apic) expired() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.timer.runs {
		return
	}
	if left := a.left(); left > 0 { // it is the expiry of a time before the timer was armed anew, or the guest has set its clock back
		a.expireIn(left)
		return
	}
	if a.timerMode() == timerPeriodic {
		a.timer.begun += a.period()
		const shortest = 50_000 // ticks: a guest can't keep the host busy
		a.expireIn(max(a.left(), shortest))
	} else {
		a.timer.runs, a.timer.deadline = false, 0
	}
	if a.reg[apicLVTTimer]&lvtMasked == 0 {
		a.accept(uint8(a.reg[apicLVTTimer]), false)
	}
}

// left is how many ticks there are to the timer's expiry; 0: its time has come.
func (a *apic) left() uint64 {
	now, at := a.cpu.ticks(), a.timer.begun+a.period()
	if a.timerMode() == timerDeadline {
		now, at = a.cpu.tsc(), a.timer.deadline
	}
	return max(at, now) - now
}

// current is the timer's count.
func (a *apic) current() uint32 {
	if !a.timer.runs || a.timerMode() == timerDeadline {
		return 0
	}
	passed := a.cpu.ticks() - a.timer.begun
	return uint32((a.period() - min(passed, a.period())) / (a.divider() * (tscKHz * 1000 / apicTimerHz)))
}

// deadline is a read of IA32_TSC_DEADLINE.
func (a *apic) deadline() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.timer.deadline
}

// setDeadline is a write of IA32_TSC_DEADLINE.
func (a *apic) setDeadline(tsc uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timerMode() != timerDeadline {
		return
	}
	a.disarm()
	if a.timer.deadline = tsc; tsc == 0 {
		return
	}
	a.expireIn(a.left())
}

// stop ends the timer for good.
func (a *apic) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.disarm()
}

// disarm stops the timer, if it runs.
func (a *apic) disarm() {
	a.timer.runs = false
	a.cpu.clock.expireAt(0)
	if a.timer.host != nil {
		a.timer.host.Stop()
	}
}
