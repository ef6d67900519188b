// Package power is the machine's power device: the sleep and reset registers of
// ACPI's hardware-reduced profile, the power button, and a port by which a guest
// marks points of time.
//
// It takes eight ports of one byte each:
//
//	+0  sleep control (ACPI 6.5, section 4.8.3.7): bits 2-4 SLP_TYP, bit 5 SLP_EN
//	+1  sleep status: reads as 0, since no sleep state is left
//	+2  reset: writing 1 restarts the machine (FADT's RESET_REG and RESET_VALUE)
//	+3  events: reading returns and clears bit 0, "the button was pressed", and bit 1,
//	    "the generation id has changed"; _EVT of the Generic Event Device (ACPI 6.5,
//	    section 5.6.9) reads it
//	+4  mark: any byte written is passed to Config.Mark
//	+5  and on: not implemented
package power

import (
	"sync"

	"github.com/mayfly-vm/mayfly/internal/bus"
)

// Size is the number of ports.
const Size = 8

const (
	regSleepControl = 0
	regSleepStatus  = 1
	regReset        = 2
	regEvents       = 3
	regMark         = 4
)

const (
	sleepEnable = 1 << 5
	resetValue  = 1
	eventButton = 1 << 0
	eventRenew  = 1 << 1
	allEvents   = eventButton | eventRenew
)

// Config of a Device. The functions run on the goroutine of the vCPU that wrote the
// register, with nothing locked; any may be nil.
type Config struct {
	Line     bus.Line // the event device's interrupt: high while an event is unread
	PowerOff func()
	Reset    func()
	Mark     func(code byte)
}

// Device implements bus.Handler for Size ports. All methods may be called by
// several goroutines.
type Device struct {
	cfg Config

	mu     sync.Mutex
	events byte
}

// New makes a power device.
func New(c Config) *Device {
	if c.Line == nil {
		c.Line = bus.LineFunc(func(bool) {})
	}
	return &Device{cfg: c}
}

// PressButton asks the guest to power off. The guest may ignore it.
func (d *Device) PressButton() { d.raise(eventButton) }

// Renewed notifies the guest that its generation id has changed (package vmgenid).
func (d *Device) Renewed() { d.raise(eventRenew) }

// raise makes an edge of the line for each event, even if the last one is unread, so
// that a second press reaches a guest that wasn't ready for the first.
func (d *Device) raise(event byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.events != 0 {
		d.cfg.Line.Set(false)
	}
	d.events |= event
	d.cfg.Line.Set(true)
}

// Reset clears unread events, as the machine's reset does.
func (d *Device) Reset() { d.takeEvents() }

func (d *Device) takeEvents() byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.events
	d.events = 0
	if e != 0 {
		d.cfg.Line.Set(false)
	}
	return e
}

// Read implements bus.Handler.
func (d *Device) Read(off uint64, p []byte) {
	for i := range p {
		switch off + uint64(i) {
		case regEvents:
			p[i] = d.takeEvents()
		case regSleepControl, regSleepStatus:
			p[i] = 0
		default:
			p[i] = 0xFF
		}
	}
}

// Write implements bus.Handler.
func (d *Device) Write(off uint64, p []byte) {
	for i, b := range p {
		switch off + uint64(i) {
		case regSleepControl:
			// The tables define one sleep state, S5, so SLP_TYP is not needed.
			if b&sleepEnable != 0 && d.cfg.PowerOff != nil {
				d.cfg.PowerOff()
			}
		case regReset:
			if b == resetValue && d.cfg.Reset != nil {
				d.cfg.Reset()
			}
		case regMark:
			if d.cfg.Mark != nil {
				d.cfg.Mark(b)
			}
		}
	}
}
