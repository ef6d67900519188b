package mmio_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/statetest"
	"github.com/mayfly-vm/mayfly/internal/transport/mmio"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// stateRig is a transport, its instance and a device that does nothing by itself.
type stateRig struct {
	statetest.Fabric
	*mmio.Transport
	dev   virtiotest.Quiet
	in    *virtio.Instance
	panel []byte
}

func newStateRig(t testing.TB) statetest.Rig      { return makeStateRig(t, nil) }
func newStatePanelRig(t testing.TB) statetest.Rig { return makeStateRig(t, make([]byte, mmio.Size)) }

func makeStateRig(t testing.TB, panel []byte) *stateRig {
	d := &stateRig{panel: panel, dev: virtiotest.Quiet{Echo: virtiotest.Echo{Sizes: []uint16{8, 16}}}}
	d.in = d.dev.NewInstance(t)
	m, err := d.NewMessage()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Route(msi); err != nil {
		t.Fatal(err)
	}
	if d.Transport, err = mmio.New(d.in, mmio.Config{Fabric: &d.Fabric, Addr: base, GSI: 5, Interrupt: m, Panel: panel}); err != nil {
		t.Fatal(err)
	}
	if err := d.MMIO.Add("virtio", base, mmio.Size, d.Transport); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *stateRig) write(off uint64, v uint32) {
	d.Fabric.Write(base+off, binary.LittleEndian.AppendUint32(nil, v))
}

// start is what a driver does; it may stop before the end.
func (d *stateRig) start(r *rand.Rand) {
	features := []uint32{0, 1}
	if r.IntN(2) == 0 {
		features[1] |= 1 << 2 // packed rings
	}
	steps := []func(){
		func() { d.write(0x70, 0) }, func() { d.write(0x70, 3) },
		func() { d.write(0x24, 0); d.write(0x20, features[0]) }, func() { d.write(0x24, 1); d.write(0x20, features[1]) },
		func() { d.write(0x70, 11) },
	}
	outside := r.Uint32N(8) / 7 // a ring that is not in memory
	for i := range uint32(2) {
		steps = append(steps, func() {
			d.write(0x30, i)
			d.write(0x38, 8)
			for k, off := range []uint64{0x80, 0x90, 0xA0} {
				d.write(off, 0x1000*(1+uint32(k)+4*i))
				d.write(off+4, outside*i)
			}
			d.write(0x44, 1)
		})
	}
	steps = append(steps, func() { d.write(0x70, 15) })
	for _, f := range steps[:len(steps)-r.IntN(2)*r.IntN(len(steps))] {
		f()
	}
}

// registers are the ones that a driver writes.
var registers = []uint64{0x14, 0x20, 0x24, 0x30, 0x38, 0x44, 0x50, 0x64, 0x70, 0x80, 0x84, 0x90, 0xA0, 0xA4, 0xAC}

func (d *stateRig) Step(r *rand.Rand) string {
	d.Log = ""
	d.in.Resume()
	switch r.IntN(12) {
	case 0:
		d.start(r)
	case 1:
		d.write(registers[r.IntN(len(registers))], r.Uint32())
	case 2, 3:
		d.write(registers[r.IntN(len(registers))], r.Uint32N(4))
	case 4:
		d.write(0x30, r.Uint32N(3))
	case 5:
		d.write(0x14, r.Uint32N(3))
	case 6:
		d.Fabric.Write(base+0x100+r.Uint64N(40), []byte{byte(r.Uint32())})
	case 7:
		d.dev.SetConfig(r.IntN(32), []byte{byte(r.Uint32())})
		d.in.ConfigChanged()
	case 8:
		d.dev.SetConfig(r.IntN(32), []byte{byte(r.Uint32())}) // of which the driver is not notified yet
	case 9, 10:
		d.Interrupt(r.IntN(2)).Signal()
	case 11:
		d.write(0x64, r.Uint32N(4))
	}
	got := make([]byte, 0x130)
	for off := uint64(0); off < uint64(len(got)); off += 4 {
		d.MMIO.Read(base+off, got[off:off+4])
	}
	return fmt.Sprintf("%x %x%s", got, d.panel, d.Log)
}

// stateOfAll is that of the transport and of what is below it.
type stateOfAll struct {
	Version   int
	Transport mmio.State
	Below     virtiotest.QuietState
}

func (d *stateRig) State() any {
	d.Refresh() // as the Resume of the saved machine does, and the restore
	below := d.dev.Save(d.in)
	return &stateOfAll{1, *d.Transport.State().(*mmio.State), below}
}

func (d *stateRig) SetState(v any) error {
	s := v.(*stateOfAll)
	if err := d.Transport.SetState(&s.Transport); err != nil {
		return err
	}
	return d.dev.Restore(d.in, s.Below)
}

// transportRig is the transport alone.
type transportRig struct{ *stateRig }

func (d transportRig) State() any           { return d.Transport.State() }
func (d transportRig) SetState(v any) error { return d.Transport.SetState(v) }

func newTransportRig(t testing.TB) statetest.Rig {
	return transportRig{makeStateRig(t, make([]byte, mmio.Size))}
}

func TestState(t *testing.T) {
	t.Run("without a panel", func(t *testing.T) { statetest.Differential(t, 100, newStateRig) })
	t.Run("with a panel", func(t *testing.T) { statetest.Differential(t, 100, newStatePanelRig) })
	statetest.RefusesOthers(t, newTransportRig)
	if err := newTransportRig(t).SetState(&mmio.State{Version: 1, Interrupt: 4}); err == nil {
		t.Error("took a reserved bit of InterruptStatus")
	}
}

// An interrupt that the driver has not acknowledged is raised again.
func TestUnacknowledgedInterruptIsRestored(t *testing.T) {
	a, b := makeStateRig(t, nil), makeStateRig(t, nil)
	a.start(rand.New(rand.NewPCG(1, 1)))
	a.write(0x70, 15)
	a.ConfigChanged()
	if err := b.SetState(statetest.RoundTrip(t, a.State())); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(" msi:%x:%x", msi.Addr, msi.Data); b.Log != want {
		t.Errorf("the restore did%s, want%s", b.Log, want)
	}
}

func FuzzState(f *testing.F) { statetest.Fuzz(f, newTransportRig, nil) }
