package ioapic

import "github.com/mayfly-vm/mayfly/internal/bus"

// Attach connects a pin to a Message: a signal of its eventfd raises the pin's
// interrupt without this device, and the entry's mask is the Message's. Such a pin is
// edge-triggered whatever its entry's trigger mode. failed is called when the Message
// can't be routed.
func (d *Device) Attach(pin int, m bus.Message, failed func(error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &d.pins[pin]
	p.msg, p.failed = m, failed
	d.routeMessage(p)
}

// routeMessage routes or masks a pin's Message according to its entry.
func (d *Device) routeMessage(p *pin) {
	if p.msg == nil {
		return
	}
	var err error
	if p.entry.masked() {
		err = p.msg.Mask()
	} else {
		e := p.entry &^ entryLevel
		err = p.msg.Route(e.msi())
	}
	if err != nil && p.failed != nil {
		p.failed(err)
	}
}
