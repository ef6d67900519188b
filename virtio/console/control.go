package console

import (
	"encoding/binary"

	"github.com/mayfly-vm/mayfly/virtio"
)

// Control messages (section 5.3.6.2): u32 port, u16 event, u16 value, and with
// some more bytes.
const (
	eventDeviceReady = 0 // from the driver: it wants to hear of ports
	eventDeviceAdd   = 1
	eventPortReady   = 3 // from the driver: it has made the port
	eventConsole     = 4
	eventResize      = 5
	eventOpen        = 6 // from either: its side is open, or with value 0 closed
	eventName        = 7

	messageSize = 8
)

// todo is what the driver is to be told of a port. Bits, not a list: a driver that
// asks again and again makes it no longer.
type todo uint8

// In the order in which they are told.
const (
	doAdd todo = 1 << iota
	doConsole
	doName
	doSize
	doOpen
)

// order has the driver told. d.mu is held.
func (d *Device) order(p *port, what todo) {
	p.todo |= what
	if d.runs {
		if q := d.session.Queue(controlRx); q != nil {
			q.Wake()
		}
	}
}

// orders does what the driver's control messages say.
func (d *Device) orders(q *virtio.Queue) bool {
	var c virtio.Chain
	did := false
	for range controlQueue {
		if !q.Pop(&c) {
			break
		}
		did = true
		var m [messageSize]byte
		if c.Out.CopyOut(m[:], 0) == messageSize {
			le := binary.LittleEndian
			d.message(le.Uint32(m[0:]), le.Uint16(m[4:]), le.Uint16(m[6:]))
		}
		q.Push(&c, 0)
	}
	q.Flush()
	return did
}

func (d *Device) message(id uint32, event, value uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if event == eventDeviceReady {
		if d.ready = value == 1; d.ready {
			for _, p := range d.ports {
				d.order(p, doAdd)
			}
		}
		return
	}
	if !d.ready || uint64(id) >= uint64(len(d.ports)) {
		return // no such port: nobody is harmed
	}
	p := d.ports[id]
	switch event {
	case eventPortReady:
		if p.ready = value == 1; !p.ready {
			return
		}
		what := todo(0)
		if p.cfg.Console {
			what |= doConsole
			if p.cols != 0 {
				what |= doSize
			}
		}
		if p.cfg.Name != "" {
			what |= doName
		}
		if p.hostOpen {
			what |= doOpen
		}
		d.order(p, what)
	case eventOpen:
		p.guestOpen = value == 1
		p.in.open(p.guestOpen)
	}
}

// control tells the driver what there is to tell.
func (d *Device) control(q *virtio.Queue) bool {
	var c virtio.Chain
	did := false
	for q.Available() {
		b := d.next()
		if b == nil {
			break
		}
		if !q.Pop(&c) {
			break
		}
		q.Push(&c, c.In.CopyIn(b, 0))
		did = true
	}
	q.Flush()
	return did
}

// talkative tells whether there is something to tell.
func (d *Device) talkative() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.ports {
		if p.todo != 0 {
			return true
		}
	}
	return false
}

// next takes the next message; nil: there is none.
func (d *Device) next() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, p := range d.ports {
		if p.todo == 0 {
			continue
		}
		what := p.todo & -p.todo
		p.todo &^= what
		event, value, tail := uint16(eventDeviceAdd), uint16(1), []byte(nil)
		le := binary.LittleEndian
		switch what {
		case doConsole:
			event = eventConsole
		case doName:
			event, tail = eventName, []byte(p.cfg.Name)
		case doSize:
			// Columns first, as the specification has it. Some versions of Linux have read
			// the rows first.
			event, tail = eventResize, le.AppendUint16(le.AppendUint16(nil, p.cols), p.rows)
		case doOpen:
			event = eventOpen
			if !p.hostOpen {
				value = 0
			}
		}
		m := le.AppendUint32(make([]byte, 0, messageSize+len(tail)), uint32(i))
		m = le.AppendUint16(le.AppendUint16(m, event), value)
		return append(m, tail...)
	}
	return nil
}
