// Package ioapic is an I/O APIC in user space: it turns the devices' interrupt
// lines into messages to the local APICs. KVM keeps those in the kernel
// (KVM_CAP_SPLIT_IRQCHIP). KVM's own I/O APIC has 24 pins, and a guest reads, masks
// and restores the redirection entry of each at its start, which costs exits; here
// the machine chooses the number of pins.
//
// Reference: Intel 82093AA data sheet, section 3.2, and for the EOI register and
// version 0x20 the I/O APIC section of Intel's 500 series chipset data sheets.
package ioapic

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/mayfly-vm/mayfly/internal/bus"
)

// Size is the length in bytes of the window of registers.
const Size = 0x1000

// MaxPins is the greatest number of pins that the version register can give.
const MaxPins = 240

// Offsets in the window. Only aligned accesses of 32 bits are defined.
const (
	offSelect = 0x00 // which register offWindow shows
	offWindow = 0x10
	offEOI    = 0x40 // write only: a vector
)

// Registers that offSelect selects; two for each redirection entry from regEntry on.
const (
	regID          = 0x00 // bits 24-27
	regVersion     = 0x01 // bits 0-7 version, 16-23 highest pin
	regArbitration = 0x02
	regEntry       = 0x10
)

const version = 0x20 // the first that has an EOI register

// Device is one I/O APIC. It implements bus.Handler for Size bytes. All methods
// may be called by several goroutines. It delivers messages and calls OnRoutes'
// function with its lock held: neither may call back.
type Device struct {
	sink bus.MSISink

	mu       sync.Mutex
	onRoutes func([]Route)
	sel      uint8
	id       uint32
	pins     []pin
}

// pin is an input and its redirection entry.
type pin struct {
	entry  entry
	high   bool
	msg    bus.Message // drives the pin instead of a Line; see Attach
	failed func(error) // likewise
	held   bool        // an edge came while the entry was masked, and the line is still high
}

// New makes an I/O APIC of 1 to MaxPins pins (others are brought into this
// range), all masked, that sends to sink. A message that sink can't deliver is
// lost: its address and vector are the guest's choice.
func New(pins int, sink bus.MSISink) *Device {
	d := &Device{sink: sink, pins: make([]pin, min(max(pins, 1), MaxPins))}
	d.reset()
	return d
}

// Reset masks all pins and clears their entries, as the machine's reset does.
// The lines keep their levels: their devices drive them.
func (d *Device) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	levels := slices.ContainsFunc(d.pins, func(p pin) bool { return p.entry.level() })
	d.reset()
	if levels {
		d.routesChanged()
	}
}

func (d *Device) reset() {
	d.sel, d.id = 0, 0
	for i := range d.pins {
		p := &d.pins[i]
		p.entry, p.held = entryMask, false
		d.routeMessage(p)
	}
}

// Line returns the input of a pin, which counts from 0. High is asserted,
// whatever the entry says of polarity: the guest's tables and the device agree.
func (d *Device) Line(pin int) bus.Line {
	_ = &d.pins[pin] // a pin that doesn't exist is a defect of the machine: panic now
	return line{d, pin}
}

type line struct {
	d   *Device
	pin int
}

func (l line) Set(high bool) {
	d := l.d
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &d.pins[l.pin]
	if p.high == high {
		return
	}
	p.high = high
	switch {
	case !high:
		p.held = false
	case p.entry.level():
		d.deliverLevel(p)
	case p.entry.masked():
		// By the data sheet this edge is lost. A device that keeps its line high
		// still needs service, so the edge is delivered when the mask is cleared.
		p.held = true
	default:
		_ = d.sink.SendMSI(p.entry.msi())
	}
}

// deliverLevel sends a level-triggered pin's message, if the line is high and the
// last message's interrupt has ended.
func (d *Device) deliverLevel(p *pin) {
	if !p.high || p.entry.masked() || p.entry&entryRemoteIRR != 0 {
		return
	}
	if d.sink.SendMSI(p.entry.msi()) == nil {
		p.entry |= entryRemoteIRR
	}
}

// EOI is the end of the interrupt with this vector on a processor: a level-triggered
// line that is still high asserts it again.
func (d *Device) EOI(vector uint8) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.eoi(vector)
}

func (d *Device) eoi(vector uint8) {
	for i := range d.pins {
		if p := &d.pins[i]; p.entry.level() && p.entry.vector() == vector && p.entry&entryRemoteIRR != 0 {
			p.entry &^= entryRemoteIRR
			d.deliverLevel(p)
		}
	}
}

// Read implements bus.Handler. A part of a register may be read; the rest of the
// window is zero.
func (d *Device) Read(off uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range p {
		at := off + uint64(i)
		var v uint32
		switch at &^ 3 {
		case offSelect:
			v = uint32(d.sel)
		case offWindow:
			v = d.readRegister()
		}
		p[i] = byte(v >> (at & 3 * 8))
	}
}

// Write implements bus.Handler. A write that is shorter than a register is ignored,
// except of IOREGSEL, of which only the low byte has a meaning.
func (d *Device) Write(off uint64, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case len(p) == 0:
	case off == offSelect:
		d.sel = p[0]
	case off == offWindow && len(p) >= 4:
		d.writeRegister(binary.LittleEndian.Uint32(p))
	case off == offEOI:
		d.eoi(p[0])
	}
}

func (d *Device) readRegister() uint32 {
	switch d.sel {
	case regID, regArbitration:
		return d.id
	case regVersion:
		return version | uint32(len(d.pins)-1)<<16
	}
	p, high := d.selected()
	switch {
	case p == nil:
		return 0
	case high:
		return uint32(p.entry >> 32)
	}
	return uint32(p.entry)
}

func (d *Device) writeRegister(v uint32) {
	if d.sel == regID {
		d.id = v & 0x0F00_0000
		return
	}
	p, high := d.selected()
	if p == nil {
		return
	}
	old := p.entry
	p.entry = old.write(v, high)
	if p.msg != nil {
		if p.entry != old {
			d.routeMessage(p)
		}
		return
	}
	if routeMatters(old, p.entry) {
		d.routesChanged()
	}
	switch {
	case p.entry.level():
		p.held = false
		d.deliverLevel(p)
	case p.held && !p.entry.masked():
		p.held = false
		_ = d.sink.SendMSI(p.entry.msi())
	}
}

// selected returns the pin whose entry is selected, or nil, and which half.
func (d *Device) selected() (p *pin, high bool) {
	i := int(d.sel) - regEntry
	if i < 0 || i/2 >= len(d.pins) {
		return nil, false
	}
	return &d.pins[i/2], i&1 != 0
}
