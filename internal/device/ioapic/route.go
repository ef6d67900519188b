package ioapic

import "github.com/mayfly-vm/mayfly/internal/bus"

// Route is the message of a pin's interrupts.
type Route struct {
	Pin    int
	MSI    bus.MSI
	Level  bool // the processors must report the end of interrupt: see EOI
	Masked bool
}

// Routes returns the route of every pin, in order.
func (d *Device) Routes() []Route {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.routes()
}

func (d *Device) routes() []Route {
	list := make([]Route, len(d.pins))
	for i, p := range d.pins {
		list[i] = Route{Pin: i, MSI: p.entry.msi(), Level: p.entry.level() && p.msg == nil, Masked: p.entry.masked()}
	}
	return list
}

// OnRoutes makes f be called with all routes, before the write that changed them
// takes effect, when a level-triggered pin's message changed, or a pin became
// level-triggered or ceased to be. KVM reports the end of an interrupt only for
// the vectors of routes that were set, and setting them is slow; so edges, which
// need no report, cause no call. Masked pins are included: their last interrupt may
// not have ended yet.
func (d *Device) OnRoutes(f func([]Route)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onRoutes = f
}

func (d *Device) routesChanged() {
	if d.onRoutes != nil {
		d.onRoutes(d.routes())
	}
}

// routeMatters reports whether the change of an entry is one that OnRoutes reports.
func routeMatters(old, now entry) bool {
	if !old.level() && !now.level() {
		return false
	}
	return old.level() != now.level() || old.msi() != now.msi()
}
