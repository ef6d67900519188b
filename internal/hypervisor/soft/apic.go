package soft

import (
	"math/bits"
	"sync"
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
)

// apic is a local APIC. Messages come from any thread; all else is its processor's.
type apic struct {
	mu   sync.Mutex
	cpu  *CPU
	id   uint32
	base uint64
	reg  [apicRegisters]uint32
	// wantsEnd reports whether the machine is to be notified of the end of a vector; nil: never.
	wantsEnd func(vector uint8) bool
	timer    timer
	// outgoing are messages that are to be sent.
	outgoing []message
}

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

// mapped reports whether an address is a register's.
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

// accept puts a vector into the request register.
func (a *apic) accept(vector uint8, level bool) bool {
	if vector < 16 || a.reg[apicSVR]&apicEnabled == 0 {
		return false
	}
	i, bit := vectorBit(vector)
	a.reg[apicIRR+i] |= bit
	a.reg[apicTMR+i] &^= bit
	if level {
		a.reg[apicTMR+i] |= bit
	}
	a.cpu.wake()
	return true
}

// vectorBit is where a vector is in the 8 registers that have a bit for each.
func vectorBit(vector uint8) (i, bit uint32) { return uint32(vector) / 32, 1 << (vector % 32) }

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
	i, bit := vectorBit(vector)
	a.reg[apicIRR+i] &^= bit
	a.reg[apicISR+i] |= bit
}

// end is the end of the interrupt in service.
func (a *apic) end() {
	v := a.highest(apicISR)
	if v < 0 {
		return
	}
	i, bit := vectorBit(uint8(v))
	a.reg[apicISR+i] &^= bit
	if a.reg[apicTMR+i]&bit != 0 && a.wantsEnd != nil && a.wantsEnd(uint8(v)) {
		a.cpu.ended.Store(uint32(v) | 0x100)
	}
	a.cpu.attend.Store(true)
}
