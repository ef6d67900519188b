// Package pvpanic is the device by which a guest reports a panic: one port, which the
// guest finds by its ACPI id QEMU0001. Linux writes to it in its panic handler, so
// that the host need not search a console's output.
//
// A read of the port returns the events that the device supports, a write reports
// events. The bits are those of Linux' include/uapi/misc/pvpanic.h.
package pvpanic

import (
	"errors"
	"fmt"
	"strings"
)

// Size is the number of ports.
const Size = 1

// Event is a set of events.
type Event uint8

// Events.
const (
	Panicked    Event = 1 << 0 // the guest's kernel has panicked
	CrashLoaded Event = 1 << 1 // it has, and runs its crash kernel now
	Shutdown    Event = 1 << 2 // it will power off, in an orderly way
	all               = Panicked | CrashLoaded | Shutdown
)

// String names the events.
func (e Event) String() string {
	var s []string
	for i, name := range [...]string{"panicked", "crash kernel loaded", "shutdown"} {
		if e&(1<<i) != 0 {
			s = append(s, name)
		}
	}
	if e&^all != 0 {
		s = append(s, fmt.Sprintf("%#x", uint8(e&^all)))
	}
	return strings.Join(s, ", ")
}

// Config says who is notified.
type Config struct {
	// OnEvent is called with the events of one write, with nothing locked, on the
	// goroutine of the vCPU that wrote. nil: the events are dropped.
	OnEvent func(Event)
}

// Device implements bus.Handler for Size ports. It has no state.
type Device struct{ cfg Config }

// New makes a device.
func New(c Config) *Device { return &Device{c} }

// Read implements bus.Handler.
func (d *Device) Read(off uint64, p []byte) {
	for i := range p {
		p[i] = 0xFF
	}
	if off == 0 {
		p[0] = byte(all)
	}
}

// Write implements bus.Handler.
func (d *Device) Write(off uint64, p []byte) {
	if off != 0 || d.cfg.OnEvent == nil {
		return
	}
	if e := Event(p[0]) & all; e != 0 {
		d.cfg.OnEvent(e)
	}
}

// State returns nil: the device remembers nothing.
func (d *Device) State() any { return nil }

// SetState takes nil.
func (d *Device) SetState(v any) error {
	if v != nil {
		return errors.New("pvpanic: a saved state; the device has none")
	}
	return nil
}
