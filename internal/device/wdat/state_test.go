package wdat_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/internal/device/wdat"
	"github.com/mayfly-vm/mayfly/internal/statetest"
)

type rig struct {
	*wdat.Device
	clock   clock
	expired int
}

func newRig(testing.TB) statetest.Rig {
	d := &rig{}
	d.Device = wdat.New(wdat.Config{OnExpire: func() { d.expired++ }, Clock: d.clock.clock()})
	return d
}

// State is taken of a paused watchdog, as the machine is held then.
func (d *rig) State() any {
	d.Pause()
	return d.Device.State()
}

func (d *rig) Step(r *rand.Rand) string {
	d.Resume()
	d.expired = 0
	off, v := uint64(r.IntN(4)*4), uint32(r.IntN(40))
	switch r.IntN(4) {
	case 0:
		write(d.Device, off, v)
	case 1:
		d.clock.pass(time.Duration(r.IntN(2000)) * time.Millisecond)
	case 2:
		d.Pause()
		d.clock.pass(time.Hour)
	}
	return fmt.Sprintf("control %d, count %d, left %d, status %d, expired %d times",
		read(d.Device, control), read(d.Device, count), read(d.Device, left), read(d.Device, status), d.expired)
}

func TestState(t *testing.T) {
	statetest.Differential(t, 100, newRig)
	statetest.RefusesOthers(t, newRig)
}

func TestRefusesStates(t *testing.T) {
	for _, s := range []wdat.State{{}, {Version: 1}, {Version: 1, Count: 1, Left: -1, Running: true}, {Version: 1, Count: 1 << 20},
		{Version: 1, Count: 1, Left: wdat.Period + 1, Running: true}, {Version: 1, Count: 1, Left: 1}, {Version: 2, Count: 1}} {
		if wdat.New(wdat.Config{}).SetState(&s) == nil {
			t.Errorf("took %+v", s)
		}
	}
}

func FuzzState(f *testing.F) { statetest.Fuzz(f, newRig, nil) }
