package ioapic

import "github.com/mayfly-vm/mayfly/internal/bus"

// Attach puts a Message behind a pin: who signals its eventfd raises the pin's
// interrupt, with nothing of this device on the way, and the entry's mask is the
// Message's. Such a pin knows edges only: what software says of levels is not
// heard. failed is told when this pin's Message can't be routed.
func (d *Device) Attach(pin int, m bus.Message, failed func(error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &d.pins[pin]
	p.msg, p.failed = m, failed
	d.routeMessage(p)
}

// routeMessage makes a pin's Message do as its entry says.
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
