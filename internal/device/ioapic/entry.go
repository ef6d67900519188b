package ioapic

import "github.com/mayfly-vm/mayfly/internal/bus"

// entry is a redirection entry (82093AA, section 3.2.4).
//
//	bits 0-7    vector
//	     8-10   delivery mode: 0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT, 7 ExtINT
//	     11     destination mode: 1 logical
//	     12     delivery status, read only; never pending here
//	     13     polarity
//	     14     remote IRR, read only: a level-triggered interrupt hasn't ended yet
//	     15     trigger mode: 1 level
//	     16     mask
//	     56-63  destination
type entry uint64

const (
	entryLogical   entry = 1 << 11
	entryRemoteIRR entry = 1 << 14
	entryLevel     entry = 1 << 15
	entryMask      entry = 1 << 16

	writable entry = 0xFF00_0000_0001_AFFF
)

// Delivery modes that can be level-triggered; the others are edges whatever the
// trigger mode.
const (
	modeFixed  = 0
	modeLowest = 1
)

func (e entry) vector() uint8 { return uint8(e) }
func (e entry) mode() uint32  { return uint32(e >> 8 & 7) }
func (e entry) masked() bool  { return e&entryMask != 0 }
func (e entry) level() bool   { return e&entryLevel != 0 && e.mode() <= modeLowest }

// write replaces one half by v.
func (e entry) write(v uint32, high bool) entry {
	shift := 0
	if high {
		shift = 32
	}
	w := writable & (0xFFFF_FFFF << shift)
	e = e&^w | entry(v)<<shift&w
	if !e.level() {
		// An edge has no remote IRR. Software without an EOI register clears a
		// stuck one by switching the entry to edge-triggered and back.
		e &^= entryRemoteIRR
	}
	return e
}

// msi composes the message (Intel SDM volume 3, section 11.11): address bits
// 12-19 destination, bit 2 destination mode; data bits 0-7 vector, 8-10 delivery
// mode, 14 assert, 15 level.
func (e entry) msi() bus.MSI {
	m := bus.MSI{
		Addr: 0xFEE0_0000 | uint64(e>>56)<<12,
		Data: uint32(e.vector()) | e.mode()<<8,
	}
	if e&entryLogical != 0 {
		m.Addr |= 1 << 2
	}
	if e.level() {
		m.Data |= 1<<15 | 1<<14
	}
	return m
}
