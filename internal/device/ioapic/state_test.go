package ioapic_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/ioapic"
	"github.com/mayfly-vm/mayfly/internal/statetest"
)

// rig is an I/O APIC with lines at pins 0-5 and messages at pins 6 and 7.
type rig struct {
	*ioapic.Device
	statetest.Fabric
	lines [6]bus.Line
	msgs  [2]bus.Message
}

func newRig(t testing.TB) statetest.Rig {
	d := &rig{}
	d.Device = ioapic.New(8, &d.Fabric)
	d.OnRoutes(func(list []ioapic.Route) { d.Logf("routes:%+v", list) })
	for i := range d.lines {
		d.lines[i] = d.Line(i)
	}
	for i := range d.msgs {
		var err error
		if d.msgs[i], err = d.NewMessage(); err != nil {
			t.Fatal(err)
		}
		d.Attach(6+i, d.msgs[i], func(err error) { d.Logf("%v", err) })
	}
	return d
}

// Vectors are few, so that pins share them and an end of interrupt meets one.
func (d *rig) Step(r *rand.Rand) string {
	d.Log = ""
	p := make([]byte, 1+r.IntN(8))
	switch r.IntN(8) {
	case 0, 1:
		d.lines[r.IntN(len(d.lines))].Set(r.IntN(2) == 0)
	case 2:
		d.msgs[r.IntN(len(d.msgs))].Signal()
	case 3:
		d.EOI(0x40 + byte(r.IntN(4)))
	case 4:
		d.Device.Write(0, []byte{byte(r.IntN(0x22))})
	case 5, 6: // a low half: vector, mode, trigger, mask
		d.Device.Write(0, []byte{0x10 + byte(2*r.IntN(8))})
		v := 0x40 + r.Uint32N(4) | r.Uint32N(2)<<15 | r.Uint32N(2)<<16
		if r.IntN(4) == 0 {
			v = r.Uint32()
		}
		d.Device.Write(0x10, binary.LittleEndian.AppendUint32(nil, v))
	case 7:
		d.Device.Write(0x10, binary.LittleEndian.AppendUint32(nil, r.Uint32()))
	}
	d.Read(0x10, p)
	return fmt.Sprintf("%x%s, routes %+v", p, d.Log, d.Routes())
}

func TestState(t *testing.T) {
	statetest.Differential(t, 60, newRig)
	statetest.RefusesOthers(t, newRig)
}

func restore(t *testing.T, from *rig) *rig {
	t.Helper()
	d := newRig(t).(*rig)
	if err := d.SetState(statetest.RoundTrip(t, from.State())); err != nil {
		t.Fatal(err)
	}
	return d
}

// The end of an interrupt that was delivered before the state was saved asserts a
// line that is still high again, and the processors' side knows its vector.
func TestRemoteIRRIsRestored(t *testing.T) {
	a := newRig(t).(*rig)
	a.Device.Write(0, []byte{0x12})
	a.Device.Write(0x10, binary.LittleEndian.AppendUint32(nil, level|0x41))
	a.lines[1].Set(true)
	b := restore(t, a)
	if want := fmt.Sprintf(" routes:%+v", a.Routes()); b.Log != want {
		t.Errorf("the restore did%s, want%s", b.Log, want)
	}
	b.Log = ""
	b.EOI(0x41)
	if b.Log != " msi:fee00000:c041" {
		t.Errorf("the end of interrupt did%s", b.Log)
	}
}

// What was held back by a mask is sent when the restored mask is cleared.
func TestHeldEdgesAreRestored(t *testing.T) {
	a := newRig(t).(*rig)
	a.lines[2].Set(true)
	a.msgs[1].Signal()
	b := restore(t, a)
	for _, pin := range []byte{2, 7} {
		b.Log = ""
		b.Device.Write(0, []byte{0x10 + 2*pin})
		b.Device.Write(0x10, binary.LittleEndian.AppendUint32(nil, 0x52))
		if want := " msi:fee00000:52"; b.Log != want {
			t.Errorf("pin %d unmasked:%s, want%s", pin, b.Log, want)
		}
	}
}

func TestRefusesStates(t *testing.T) {
	for name, change := range map[string]func(*ioapic.State){
		"id":                   func(s *ioapic.State) { s.ID = 16 },
		"pins":                 func(s *ioapic.State) { s.Pins = s.Pins[:7] },
		"delivery status":      func(s *ioapic.State) { s.Pins[0].Entry |= 1 << 12 },
		"reserved":             func(s *ioapic.State) { s.Pins[0].Entry |= 1 << 17 },
		"IRR of an edge":       func(s *ioapic.State) { s.Pins[0].Entry |= irr },
		"IRR of a message":     func(s *ioapic.State) { s.Pins[6].Entry |= irr | level },
		"level of a message":   func(s *ioapic.State) { s.Pins[6].High = true },
		"held and low":         func(s *ioapic.State) { s.Pins[0].Held = true },
		"held and unmasked":    func(s *ioapic.State) { s.Pins[0] = ioapic.PinState{High: true, Held: true} },
		"pending line":         func(s *ioapic.State) { s.Pins[0].Pending = true },
		"pending unmasked":     func(s *ioapic.State) { s.Pins[6] = ioapic.PinState{Pending: true} },
		"held level-triggered": func(s *ioapic.State) { s.Pins[0] = ioapic.PinState{Entry: masked | level, High: true, Held: true} },
	} {
		d := newRig(t)
		s := d.State().(*ioapic.State)
		change(s)
		if d.SetState(s) == nil {
			t.Errorf("%s: took %+v", name, s)
		}
	}
}

func FuzzState(f *testing.F) { statetest.Fuzz(f, newRig, nil) }
