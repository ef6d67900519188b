package soft

// message is an interrupt on its way to local APICs.
type message struct {
	destination uint32
	logical     bool
	x2          bool // the destination has 32 bits
	mode        uint8
	vector      uint8
	level       bool
	shorthand   uint8
}

// Delivery modes.
const (
	deliverFixed  = 0
	deliverLowest = 1
	deliverNMI    = 4
	deliverINIT   = 5
	deliverStart  = 6
)

// Shorthands of destinations.
const (
	toSelf = 1 + iota
	toAll
	toOthers
)

// command is an interprocessor interrupt, which is to be sent when the registers are no longer locked.
func (a *apic) command(icr, destination uint32, x2 bool) {
	m := message{
		destination: destination, x2: x2, logical: icr>>11&1 != 0, mode: uint8(icr >> 8 & 7), vector: uint8(icr), shorthand: uint8(icr >> 18 & 3),
	}
	if assert := icr>>14&1 != 0; m.mode == deliverINIT && !assert {
		return // INIT level de-assert has no effect
	}
	a.outgoing = append(a.outgoing, m)
}

// send sends what command has left.
func (a *apic) send() {
	for _, m := range a.outgoing {
		a.cpu.world.send(m, a)
	}
	a.outgoing = a.outgoing[:0]
}

// send brings a message to the local APICs that it is for. from is the sender's; nil: a device's message.
func (w *world) send(m message, from *apic) {
	for _, c := range w.cpus {
		to := c.apic
		var meant bool
		switch m.shorthand {
		case toSelf:
			meant = to == from
		case toAll:
			meant = true
		case toOthers:
			meant = to != from
		default:
			meant = to.matches(m)
		}
		if meant && to.receive(m) && m.mode == deliverLowest {
			return
		}
	}
}

// matches reports whether a message is for this processor.
func (a *apic) matches(m message) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case m.logical && a.x2():
		return m.destination>>16 == a.reg[apicLDR]>>16 && m.destination&a.reg[apicLDR]&0xFFFF != 0
	case m.logical && a.reg[apicDFR]>>28 == 0: // clusters
		l := a.reg[apicLDR] >> 24
		return (m.destination&0xF0 == 0xF0 || m.destination>>4 == l>>4) && m.destination&l&0xF != 0
	case m.logical:
		return m.destination&(a.reg[apicLDR]>>24) != 0
	case m.x2:
		return m.destination == a.id || m.destination == ^uint32(0)
	}
	return m.destination == a.id || m.destination == 0xFF
}

// receive is a message; false: it is not accepted.
func (a *apic) receive(m message) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch m.mode {
	case deliverFixed, deliverLowest:
		return a.accept(m.vector, m.level)
	case deliverNMI:
		a.cpu.nmi.Store(true)
	case deliverINIT:
		a.cpu.starts.Store(0) // what has come before
		a.cpu.resets.Store(true)
	case deliverStart:
		a.cpu.starts.Store(uint32(m.vector) | 0x100)
	default:
		return false
	}
	a.cpu.wake()
	return true
}
