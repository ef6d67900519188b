package i8042_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/device/i8042"
	"github.com/mayfly-vm/mayfly/internal/statetest"
)

type rig struct {
	*i8042.Device
	resets int
}

func newRig(testing.TB) statetest.Rig {
	r := &rig{}
	r.Device = i8042.New(func() { r.resets++ })
	return r
}

func (d *rig) Step(r *rand.Rand) string {
	p := make([]byte, 1+r.IntN(2))
	if r.IntN(60) == 0 {
		p[0] = [...]byte{0, 0xAA, 0xFE}[r.IntN(3)]
		d.Write(0, p)
	} else {
		d.Read(0, p)
	}
	return fmt.Sprintf("%x, %d resets", p, d.takeResets())
}

func (d *rig) takeResets() int {
	n := d.resets
	d.resets = 0
	return n
}

func TestState(t *testing.T) {
	statetest.Differential(t, 20, newRig)
	statetest.RefusesOthers(t, newRig)
}

func FuzzState(f *testing.F) { statetest.Fuzz(f, newRig, nil) }
