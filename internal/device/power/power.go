// Package power is the machine's switch: what ACPI calls the sleep and reset
// registers of a hardware-reduced machine, the button, and a port by which a
// guest marks the time.
//
// It takes eight ports of one byte each:
//
//	+0  sleep control (ACPI 6.5, section 4.8.3.7): bits 2-4 SLP_TYP, bit 5 SLP_EN
//	+1  sleep status: reads as 0, for no sleep ends here
//	+2  reset: writing 1 restarts the machine (FADT's RESET_REG and RESET_VALUE)
//	+3  events: reading returns and clears bit 0, "the button was pressed", and bit 1,
//	    "the generation id has changed"; this is what _EVT of the Generic Event Device
//	    (ACPI 6.5, section 5.6.9) looks at
//	+4  mark: any byte written is a mark on the timeline
//	+5… nothing
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

// Config says what the switch works on. The functions run on the goroutine of
// the vCPU that asked, with nothing locked; any may be nil.
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

// New makes a switch.
func New(c Config) *Device {
	if c.Line == nil {
		c.Line = bus.LineFunc(func(bool) {})
	}
	return &Device{cfg: c}
}

// PressButton asks the guest to power off. What comes of it is the guest's
// affair.
func (d *Device) PressButton() { d.raise(eventButton) }

// Renewed tells the guest that its generation id has changed (internal/device/vmgenid).
func (d *Device) Renewed() { d.raise(eventRenew) }

// raise makes each event an edge of the line, even if the last one is unread, so
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

// Reset forgets an unread event, as the machine's reset does.
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
			// The tables name one sleep state, S5, so SLP_TYP says nothing new.
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
