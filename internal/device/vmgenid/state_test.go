package vmgenid_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/device/vmgenid"
	"github.com/mayfly-vm/mayfly/internal/statetest"
	"github.com/mayfly-vm/mayfly/memory"
)

const memSize = 1 << 20

type rig struct {
	*vmgenid.Device
	mem      *memory.Map
	notified int
}

func newRig(t testing.TB) statetest.Rig { return newRigAt(t, 0xE000) }

func newRigAt(t testing.TB, addr memory.Addr) *rig {
	mem, err := memory.New([]memory.Range{{Size: memSize}}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	d := &rig{mem: mem}
	d.Device, err = vmgenid.New(vmgenid.Config{Memory: mem, Addr: addr, Notify: func() { d.notified++ }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *rig) Step(*rand.Rand) string {
	if d.Renew() != nil {
		return "failed"
	}
	return ""
}

func (d *rig) at(addr int64) (id [16]byte) {
	_, _ = d.mem.ReadAt(id[:], addr)
	return id
}

// A restored machine has a new id where the saved guest expects it, and the guest is
// notified of it.
func TestRestoredMachineHasNewID(t *testing.T) {
	a, b, c := newRigAt(t, 0xE000), newRigAt(t, 0xF000), newRigAt(t, 0xE000)
	saved := statetest.RoundTrip(t, a.State())
	old := a.ID()
	for _, d := range []*rig{b, c} { // two machines from one snapshot
		if _, err := d.mem.WriteAt(old[:], 0xE000); err != nil { // memory is restored before
			t.Fatal(err)
		}
		if err := d.SetState(saved); err != nil {
			t.Fatal(err)
		}
		if now := d.at(0xE000); now == old || now != d.ID() || d.notified != 1 {
			t.Errorf("the id was % x, memory has % x, the device % x; notified %d times", old, now, d.ID(), d.notified)
		}
		if s := *d.State().(*vmgenid.State); s.Addr != 0xE000 {
			t.Errorf("the id's address is %#x after the restore", s.Addr)
		}
	}
	if b.ID() == c.ID() {
		t.Error("two restored machines have one id")
	}
}

func TestRefusesAddresses(t *testing.T) {
	for _, addr := range []uint64{memSize - 8, memSize, 1 << 63, ^uint64(7)} {
		d := newRigAt(t, 0xE000)
		id := d.ID()
		if err := d.SetState(&vmgenid.State{Version: 1, Addr: addr}); !errors.Is(err, memory.ErrOutside) {
			t.Errorf("%#x: %v", addr, err)
		}
		if d.notified != 0 || d.ID() != id || d.at(0xE000) != id {
			t.Errorf("%#x: the device has changed", addr)
		}
	}
	statetest.RefusesOthers(t, newRig)
}

func FuzzState(f *testing.F) { statetest.Fuzz(f, newRig, nil) }
