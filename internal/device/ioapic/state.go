package ioapic

import "fmt"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what an I/O APIC remembers (82093AA, section 3).
type State struct {
	Version int
	Select  uint8      // IOREGSEL, offset 0x00 of the window
	ID      uint8      // IOAPICID, register 0x00: its bits 24-27, 0 to 15
	Pins    []PinState // in order
}

// PinState is an input and its redirection entry.
type PinState struct {
	// Entry is IOREDTBL, registers 0x10+2n (low half) and 0x11+2n (section 3.2.4).
	// Bit 14, remote IRR, is set only in a level-triggered entry; bit 12, delivery
	// status, and bits 17-55 are 0.
	Entry uint64
	High  bool // the line's level
	// Held: the line rose while an edge-triggered entry was masked, and is still
	// high; the message is sent when the mask is cleared.
	Held bool
	// Pending: the same for a pin that a bus.Message drives, which has no level.
	Pending bool
}

// State returns a *State. No device drives a line meanwhile.
func (d *Device) State() any {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &State{Version: StateVersion, Select: d.sel, ID: uint8(d.id >> 24)}
	for i := range d.pins {
		p := &d.pins[i]
		s.Pins = append(s.Pins, PinState{Entry: uint64(p.entry), High: p.high, Held: p.held,
			Pending: p.msg != nil && p.entry.masked() && p.msg.Pending()})
	}
	return s
}

// SetState takes a *State, checks it and leaves the device as it is when it
// returns an error. It reports the routes to OnRoutes' function and routes the pins'
// Messages, and sends nothing: what was sent before the state was saved is in the
// local APICs, among them each message whose remote IRR is set. The end of such an
// interrupt sends the next one, as long as the line is high.
//
// It is called before the devices that drive lines are restored.
func (d *Device) SetState(v any) error {
	s, ok := v.(*State)
	switch {
	case !ok || s == nil:
		return fmt.Errorf("ioapic: the saved state is a %T, not an I/O APIC's", v)
	case s.Version != StateVersion:
		return fmt.Errorf("ioapic: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case s.ID > 0x0F:
		return fmt.Errorf("ioapic: the saved ID is %#x; it has 4 bits", s.ID)
	case len(s.Pins) != len(d.pins):
		return fmt.Errorf("ioapic: the saved state has %d pins, the device %d", len(s.Pins), len(d.pins))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range s.Pins {
		if err := s.Pins[i].check(d.pins[i].msg != nil); err != nil {
			return fmt.Errorf("ioapic: the saved pin %d: %w", i, err)
		}
	}
	d.sel, d.id = s.Select, uint32(s.ID)<<24
	levels := false
	for i := range d.pins {
		p, from := &d.pins[i], &s.Pins[i]
		levels = levels || p.entry.level() || entry(from.Entry).level()
		p.entry, p.high, p.held = entry(from.Entry), from.High, from.Held
		if from.Pending {
			p.msg.Signal() // before the route, which may clear the mask
		}
		d.routeMessage(p)
	}
	if levels {
		d.routesChanged()
	}
	return nil
}

// check returns why a pin can't be in this state. message: a bus.Message drives it.
func (s *PinState) check(message bool) error {
	e := entry(s.Entry)
	switch {
	case e&^(writable|entryRemoteIRR) != 0:
		return fmt.Errorf("entry %#x has reserved bits %#x set", s.Entry, uint64(e&^(writable|entryRemoteIRR)))
	case e&entryRemoteIRR != 0 && (!e.level() || message):
		return fmt.Errorf("entry %#x has remote IRR set and is edge-triggered", s.Entry)
	case message && (s.High || s.Held):
		return fmt.Errorf("it has a level (High %v, Held %v), and its interrupts are an eventfd's", s.High, s.Held)
	case s.Held && (!s.High || e.level() || !e.masked()):
		return fmt.Errorf("an edge is held back with the line high: %v and entry %#x; that needs a high line and a masked, edge-triggered entry", s.High, s.Entry)
	case s.Pending && (!message || !e.masked()):
		return fmt.Errorf("a signal is pending, which needs an eventfd (here: %v) and a masked entry (here: %#x)", message, s.Entry)
	}
	return nil
}
