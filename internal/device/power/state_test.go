package power_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/power"
	"github.com/mayfly-vm/mayfly/internal/statetest"
)

// rig records what the device drives.
type rig struct {
	*power.Device
	high bool
	log  string
}

func newRig(testing.TB) statetest.Rig {
	d := &rig{}
	say := func(what string) func() { return func() { d.log += " " + what } }
	d.Device = power.New(power.Config{
		Line: bus.LineFunc(func(high bool) {
			if d.high != high { // as an I/O APIC takes it
				d.high = high
				d.log += fmt.Sprint(" line ", high)
			}
		}),
		PowerOff: say("off"), Reset: say("reset"), Mark: func(code byte) { d.log += fmt.Sprint(" mark ", code) },
	})
	return d
}

func (d *rig) Step(r *rand.Rand) string {
	d.log = ""
	p := make([]byte, 1+r.IntN(4))
	switch off := uint64(r.IntN(power.Size)); r.IntN(8) {
	case 0:
		d.PressButton()
	case 1:
		d.Renewed()
	case 2, 3:
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		d.Write(off, p)
	default:
		d.Read(off, p)
	}
	return fmt.Sprintf("%x%s", p, d.log)
}

func TestState(t *testing.T) {
	statetest.Differential(t, 50, newRig)
	statetest.RefusesOthers(t, newRig)
}

// An event that was not read when the state was saved keeps the line high.
func TestUnreadEventIsRestored(t *testing.T) {
	a, b := newRig(t).(*rig), newRig(t).(*rig)
	a.PressButton()
	if err := b.SetState(a.State()); err != nil {
		t.Fatal(err)
	}
	if b.log != " line true" {
		t.Errorf("the restored device did%s", b.log)
	}
	p := []byte{0}
	if b.Read(3, p); p[0] != 1 || b.high {
		t.Errorf("events %#x, line high: %v", p[0], b.high)
	}
	if err := b.SetState(&power.State{Version: 1, Events: 4}); err == nil {
		t.Error("took an event that is not defined")
	}
}

func FuzzState(f *testing.F) { statetest.Fuzz(f, newRig, nil) }
