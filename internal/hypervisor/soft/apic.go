package soft

import (
	"math/bits"
	"sync"
	"time"
)

// Registers of the local APIC, by their offset / 16. Source: Intel SDM volume 3, chapter 10.
const (
	apicID        = 0x02
	apicVersion   = 0x03
	apicTPR       = 0x08
	apicPPR       = 0x0A
	apicEOI       = 0x0B
	apicLDR       = 0x0D
	apicDFR       = 0x0E
	apicSVR       = 0x0F
	apicISR       = 0x10
	apicTMR       = 0x18
	apicIRR       = 0x20
	apicESR       = 0x28
	apicICR       = 0x30
	apicICRHigh   = 0x31
	apicLVTTimer  = 0x32
	apicLVTError  = 0x37
	apicInitial   = 0x38
	apicCurrent   = 0x39
	apicDivide    = 0x3E
	apicSelf      = 0x3F
	apicRegisters = 0x40
)

const (
	apicBaseEnable = 1 << 11
	apicBaseX2     = 1 << 10
	apicBaseBSP    = 1 << 8

	apicDefaultBase = 0xFEE0_0000
	apicEnabled     = 1 << 8 // of SVR
	lvtMasked       = 1 << 16

	// apicTimerHz is the frequency of the timer before its divider: that of leaf 0x40000010.
	apicTimerHz = 1_000_000_000
)

// apic is a local APIC. Messages come from any thread; all else is its processor's.
type apic struct {
	mu   sync.Mutex
	cpu  *CPU
	id   uint32
	base uint64
	reg  [apicRegisters]uint32
	// eoi has the vectors whose end the machine wants to know, and ended those that have.
	eoi   func(vector uint8) bool
	timer timer
	// outgoing are messages that are to be sent.
	outgoing []message
	begun    uint64 // the tick at which the timer's count began
	at       uint64 // TSC-deadline; 0: none
}

// message is an interrupt on its way to local APICs.
type message struct {
	destination uint32
	logical     bool
	x2          bool // the destination has 32 bits
	mode        uint8
	vector      uint8
	level       bool
	shorthand   uint8
}

// Delivery modes.
const (
	deliverFixed  = 0
	deliverLowest = 1
	deliverNMI    = 4
	deliverINIT   = 5
	deliverStart  = 6
)

// Shorthands of destinations.
const (
	toSelf = 1 + iota
	toAll
	toOthers
)

func newAPIC(c *CPU, id uint32) *apic {
	a := &apic{cpu: c, id: id, base: apicDefaultBase | apicBaseEnable}
	if id == 0 {
		a.base |= apicBaseBSP
	}
	a.reset()
	return a
}

func (a *apic) reset() {
	a.reg = [apicRegisters]uint32{}
	a.reg[apicVersion] = 0x14 | 5<<16
	a.reg[apicDFR] = ^uint32(0)
	a.reg[apicSVR] = 0xFF
	for r := apicLVTTimer; r <= apicLVTError; r++ {
		a.reg[r] = lvtMasked
	}
}

// initialised is what INIT does: all but the identity and the base is as after a reset.
func (a *apic) initialised() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.disarm()
	ldr := a.reg[apicLDR]
	a.reset()
	if a.x2() {
		a.reg[apicLDR] = ldr
	}
}

func (a *apic) x2() bool { return a.base&apicBaseX2 != 0 }

// mapped tells whether an address is a register's.
func (a *apic) mapped(phys uint64) bool {
	return a.base&apicBaseEnable != 0 && !a.x2() && phys&^0xFFF == a.base&^0xFFF
}

func (a *apic) setBase(v uint64) bool {
	const known = apicBaseEnable | apicBaseX2 | apicBaseBSP
	if v&^(known|pageAddress) != 0 || v>>a.cpu.physBits() != 0 || a.base&apicBaseEnable == 0 && v&apicBaseX2 != 0 || v&apicBaseX2 != 0 && v&apicBaseEnable == 0 || a.x2() && v&apicBaseX2 == 0 && v&apicBaseEnable != 0 {
		return false
	}
	a.mu.Lock()
	a.base = v&^apicBaseBSP | a.base&apicBaseBSP
	if a.x2() {
		a.reg[apicLDR] = a.id>>4<<16 | 1<<(a.id&15)
	}
	a.mu.Unlock()
	a.cpu.flushTLB(true)
	return true
}

func (a *apic) tpr() uint32 { return a.reg[apicTPR] }

func (a *apic) setTPR(v uint32) {
	a.mu.Lock()
	a.reg[apicTPR] = v & 0xFF
	a.mu.Unlock()
	a.cpu.attend.Store(true)
}

// read and write access a register.
func (a *apic) read(r uint32) uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r {
	case apicID:
		if a.x2() {
			return a.id
		}
		return a.id << 24
	case apicPPR:
		return a.priority()
	case apicCurrent:
		return a.current()
	}
	if r >= apicRegisters {
		return 0
	}
	return a.reg[r]
}

func (a *apic) write(r, v uint32) {
	a.mu.Lock()
	a.set(r, v)
	a.mu.Unlock()
	a.send()
}

func (a *apic) set(r, v uint32) {
	switch r {
	case apicTPR:
		a.reg[apicTPR] = v & 0xFF
		a.cpu.attend.Store(true)
	case apicEOI:
		a.end()
	case apicLDR:
		if !a.x2() {
			a.reg[r] = v & 0xFF00_0000
		}
	case apicDFR:
		a.reg[r] = v | 0x0FFF_FFFF
	case apicSVR:
		a.reg[r] = v & 0x1FF
	case apicESR:
		a.reg[r] = 0
	case apicICR:
		a.reg[r] = v &^ (1 << 12)
		a.command(v, a.reg[apicICRHigh]>>24, false)
	case apicICRHigh, apicDivide:
		a.reg[r] = v
	case apicInitial:
		a.reg[r] = v
		a.arm()
	case apicSelf:
		a.accept(uint8(v), false)
	default:
		if r >= apicLVTTimer-3 && r <= apicLVTError { // CMCI's and those of LVT
			a.reg[r] = v
			if a.reg[apicSVR]&apicEnabled == 0 {
				a.reg[r] |= lvtMasked
			}
			if r == apicLVTTimer {
				a.arm()
			}
		}
	}
}

// readX2 and writeX2 are the registers as model-specific ones.
func (a *apic) readX2(r uint32) (uint64, bool) {
	if !a.x2() || r == apicEOI || r == apicSelf || r == apicDFR || r == apicICRHigh || r >= apicRegisters {
		return 0, false
	}
	if r == apicICR {
		return uint64(a.reg[apicICRHigh])<<32 | uint64(a.reg[apicICR]), true
	}
	return uint64(a.read(r)), true
}

func (a *apic) writeX2(r uint32, v uint64) bool {
	if !a.x2() || r == apicID || r == apicVersion || r == apicPPR || r == apicLDR || r == apicDFR || r == apicCurrent || r == apicICRHigh ||
		r >= apicISR && r < apicESR || r >= apicRegisters || r == apicEOI && v != 0 || r == apicESR && v != 0 {
		return false
	}
	if r == apicICR {
		a.mu.Lock()
		a.reg[apicICR], a.reg[apicICRHigh] = uint32(v)&^(1<<12), uint32(v>>32)
		a.command(uint32(v), uint32(v>>32), true)
		a.mu.Unlock()
		a.send()
		return true
	}
	if v>>32 != 0 {
		return false
	}
	a.write(r, uint32(v))
	return true
}

// command is an interprocessor interrupt, which is to be sent when the registers are no longer locked.
func (a *apic) command(icr, destination uint32, x2 bool) {
	m := message{
		destination: destination, x2: x2, logical: icr>>11&1 != 0, mode: uint8(icr >> 8 & 7), vector: uint8(icr), shorthand: uint8(icr >> 18 & 3),
	}
	if assert := icr>>14&1 != 0; m.mode == deliverINIT && !assert {
		return // INIT level de-assert has no effect
	}
	a.outgoing = append(a.outgoing, m)
}

// send sends what command has left.
func (a *apic) send() {
	for _, m := range a.outgoing {
		a.cpu.world.send(m, a)
	}
	a.outgoing = a.outgoing[:0]
}

// send brings a message to the local APICs that it is for. from is the sender's; nil: a device's message.
func (w *world) send(m message, from *apic) {
	for _, c := range w.cpus {
		to := c.apic
		var meant bool
		switch m.shorthand {
		case toSelf:
			meant = to == from
		case toAll:
			meant = true
		case toOthers:
			meant = to != from
		default:
			meant = to.matches(m)
		}
		if meant && to.receive(m) && m.mode == deliverLowest {
			return
		}
	}
}

// matches tells whether a message is for this processor.
func (a *apic) matches(m message) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case m.logical && a.x2():
		return m.destination>>16 == a.reg[apicLDR]>>16 && m.destination&a.reg[apicLDR]&0xFFFF != 0
	case m.logical && a.reg[apicDFR]>>28 == 0: // clusters
		l := a.reg[apicLDR] >> 24
		return (m.destination&0xF0 == 0xF0 || m.destination>>4 == l>>4) && m.destination&l&0xF != 0
	case m.logical:
		return m.destination&(a.reg[apicLDR]>>24) != 0
	case m.x2:
		return m.destination == a.id || m.destination == ^uint32(0)
	}
	return m.destination == a.id || m.destination == 0xFF
}

// receive is a message; false: it is not accepted.
func (a *apic) receive(m message) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch m.mode {
	case deliverFixed, deliverLowest:
		return a.accept(m.vector, m.level)
	case deliverNMI:
		a.cpu.nmi.Store(true)
	case deliverINIT:
		a.cpu.starts.Store(0) // what has come before
		a.cpu.resets.Store(true)
	case deliverStart:
		a.cpu.starts.Store(uint32(m.vector) | 0x100)
	default:
		return false
	}
	a.cpu.wake()
	return true
}

// accept puts a vector into the request register.
func (a *apic) accept(vector uint8, level bool) bool {
	if vector < 16 || a.reg[apicSVR]&apicEnabled == 0 {
		return false
	}
	word, bit := vectorBit(vector)
	a.reg[apicIRR+word] |= bit
	a.reg[apicTMR+word] &^= bit
	if level {
		a.reg[apicTMR+word] |= bit
	}
	a.cpu.wake()
	return true
}

// vectorBit is where a vector is in a register of 256 bits.
func vectorBit(vector uint8) (word, bit uint32) { return uint32(vector) / 32, 1 << (vector % 32) }

// highest is the highest vector of a register of 256 bits; -1: none.
func (a *apic) highest(r int) int {
	for w := 7; w >= 0; w-- {
		if v := a.reg[r+w]; v != 0 {
			return 32*w + 31 - bits.LeadingZeros32(v)
		}
	}
	return -1
}

// priority is the processor's: PPR.
func (a *apic) priority() uint32 {
	tpr := a.reg[apicTPR]
	if in := a.highest(apicISR); in >= 0 && uint32(in)&0xF0 > tpr&0xF0 {
		return uint32(in) & 0xF0
	}
	return tpr
}

// pending is the vector that is to be delivered; ok is false where there is none.
func (a *apic) pending() (vector uint8, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.highest(apicIRR)
	if v < 0 || uint32(v)&0xF0 <= a.priority()&0xF0 {
		return 0, false
	}
	return uint8(v), true
}

// take moves a vector from the request to the service register.
func (a *apic) take(vector uint8) {
	a.mu.Lock()
	defer a.mu.Unlock()
	word, bit := vectorBit(vector)
	a.reg[apicIRR+word] &^= bit
	a.reg[apicISR+word] |= bit
}

// end is the end of the interrupt in service.
func (a *apic) end() {
	v := a.highest(apicISR)
	if v < 0 {
		return
	}
	word, bit := vectorBit(uint8(v))
	a.reg[apicISR+word] &^= bit
	if a.reg[apicTMR+word]&bit != 0 && a.eoi != nil && a.eoi(uint8(v)) {
		a.cpu.ended.Store(uint32(v) | 0x100)
	}
	a.cpu.attend.Store(true)
}

// Timer.

const (
	timerPeriodic = 1
	timerDeadline = 2
)

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
	a.begun = a.cpu.ticks()
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

// timer is that of a local APIC. host is the host's, where instructions are not counted.
type timer struct {
	runs bool
	host *time.Timer
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
		a.begun += a.period()
		const shortest = 50_000 // ticks: a guest can't keep the host busy
		a.expireIn(max(a.left(), shortest))
	} else {
		a.timer.runs, a.at = false, 0
	}
	if a.reg[apicLVTTimer]&lvtMasked == 0 {
		a.accept(uint8(a.reg[apicLVTTimer]), false)
	}
}

// left is how many ticks there are to the timer's expiry; 0: its time has come.
func (a *apic) left() uint64 {
	now, at := a.cpu.ticks(), a.begun+a.period()
	if a.timerMode() == timerDeadline {
		now, at = a.cpu.tsc(), a.at
	}
	return max(at, now) - now
}

// current is the timer's count.
func (a *apic) current() uint32 {
	if !a.timer.runs || a.timerMode() == timerDeadline {
		return 0
	}
	passed := a.cpu.ticks() - a.begun
	return uint32((a.period() - min(passed, a.period())) / (a.divider() * (tscKHz * 1000 / apicTimerHz)))
}

func (a *apic) deadline() uint64 { return a.at }

// setDeadline is a write of IA32_TSC_DEADLINE.
func (a *apic) setDeadline(tsc uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timerMode() != timerDeadline {
		return
	}
	a.disarm()
	if a.at = tsc; tsc == 0 {
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
