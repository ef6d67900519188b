package vpci_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/internal/statetest"
	"github.com/mayfly-vm/mayfly/internal/transport/vpci"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// stateRig is a transport in slot 1 of a bus, its instance and a device that does
// nothing by itself.
type stateRig struct {
	statetest.Fabric
	host *pci.Host
	tr   *vpci.Transport
	dev  virtiotest.Quiet
	in   *virtio.Instance
	at   uint64 // of the BAR, as the guest's driver knows it
}

func newStateRig(t testing.TB) statetest.Rig { return makeStateRig(t) }

func makeStateRig(t testing.TB) *stateRig {
	d := &stateRig{at: lowAt, dev: virtiotest.Quiet{Echo: virtiotest.Echo{Sizes: []uint16{8, 16}}}}
	d.in = d.dev.NewInstance(t)
	var err error
	if d.host, err = pci.NewHost(pci.Config{MMIO: &d.MMIO, ECAM: ecamAt, Low: low}); err != nil {
		t.Fatal(err)
	}
	if err := d.MMIO.Add("ecam", ecamAt, pci.ECAMSize, d.host.ECAM()); err != nil {
		t.Fatal(err)
	}
	if d.tr, err = vpci.New(d.in, &d.Fabric); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.in.Close()
		d.tr.Close()
	})
	if _, err := d.host.Add(1, d.tr); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *stateRig) config(off uint64, n int, v uint32) {
	d.Write(ecamAt+1<<15+off, binary.LittleEndian.AppendUint32(nil, v)[:n])
}

func (d *stateRig) put(off uint64, n int, v uint32) {
	d.Write(d.at+off, binary.LittleEndian.AppendUint32(nil, v)[:n])
}

// msixAt is the offset of MSI-X's message control: the first capability.
const msixAt = 0x42

// start is what a driver does; it may stop before the end.
func (d *stateRig) start(r *rand.Rand) {
	outside := r.Uint32N(8) / 7 // a ring that is not in memory
	packed := r.Uint32N(2) << 2
	steps := []func(){
		func() { d.config(0x10, 4, uint32(d.at)); d.config(4, 2, 6) }, func() { d.config(msixAt, 2, 1<<15) },
		func() { d.put(0x14, 1, 0) }, func() { d.put(0x14, 1, 3) },
		func() { d.put(8, 4, 0); d.put(12, 4, 0) }, func() { d.put(8, 4, 1); d.put(12, 4, 1|packed) },
		func() { d.put(0x14, 1, 11) }, func() { d.put(0x10, 2, 0) },
	}
	for i := range uint32(2) {
		steps = append(steps, func() { d.put(0x16, 2, i) }, func() { d.put(0x18, 2, 8) }, func() { d.put(0x1A, 2, i+1) }, func() {
			for k, off := range []uint64{0x20, 0x28, 0x30} {
				d.put(off, 4, 0x1000*(1+uint32(k)+4*i))
				d.put(off+4, 4, outside*i)
			}
		}, func() { d.put(0x1C, 2, 1) })
	}
	steps = append(steps, func() { d.put(0x14, 1, 15) })
	for _, f := range steps[:len(steps)-r.IntN(2)*r.IntN(len(steps))] {
		f()
	}
}

func (d *stateRig) Step(r *rand.Rand) string {
	d.Log = ""
	d.in.Resume()
	switch r.IntN(14) {
	case 0:
		d.start(r)
	case 1: // common configuration, each register in its width
		off := []uint64{0, 8, 12, 0x10, 0x14, 0x16, 0x18, 0x1A, 0x1C, 0x20, 0x24, 0x28, 0x30}[r.IntN(13)]
		n := 4
		if off == 0x14 {
			n = 1
		} else if off >= 0x10 && off < 0x20 {
			n = 2
		}
		d.put(off, n, r.Uint32N(5))
	case 2:
		d.put([]uint64{0, 8}[r.IntN(2)], 4, r.Uint32N(4))
	case 3: // the table
		d.put(0x1000+uint64(16*r.IntN(3)+4*r.IntN(4)), 4, r.Uint32N(8))
	case 4: // message control
		d.config(msixAt, 2, r.Uint32N(4)<<14)
	case 5: // command
		d.config(4, 2, r.Uint32N(4)<<1)
	case 6: // move or size the BAR
		d.config(0x10, 4, []uint32{lowAt, lowAt + 0x8000, 0xFFFF_FFFF}[r.IntN(3)])
	case 7:
		d.put(0x3000+uint64(4*r.IntN(2)), 2, 0)
	case 8:
		d.put(0x800+r.Uint64N(40), 1, r.Uint32())
	case 9:
		d.dev.SetConfig(r.IntN(32), []byte{byte(r.Uint32())})
		d.in.ConfigChanged()
	case 10, 11:
		d.tr.Interrupt(r.IntN(2)).Signal()
	case 12: // the access capability, at the end of the list
		d.config(0xA0+r.Uint64N(0x20), 1+r.IntN(4), r.Uint32N(0x40))
	case 13:
		var p [4]byte
		d.MMIO.Read(d.at+0x400, p[:1]) // ISR
		d.Logf("isr %x", p[0])
	}
	got := make([]byte, 0x130)
	d.tr.Read(0x1000, got[:8])
	d.tr.Read(0x1000+uint64(16*r.IntN(3)), got[8:16])
	d.tr.Read(0x2000, got[16:24])
	for off := uint64(0); off < 0x40; off += 2 {
		d.MMIO.Read(d.at+off, got[0x20+off:0x22+off])
		if off%4 == 0 {
			d.MMIO.Read(d.at+off, got[0x60+off:0x64+off])
		}
	}
	d.MMIO.Read(d.at+0x14, got[0xA0:0xA1])
	d.MMIO.Read(d.at+0x15, got[0xA1:0xA2])
	d.MMIO.Read(ecamAt+1<<15+4*uint64(r.IntN(64)), got[0xA4:0xA8])
	d.MMIO.Read(d.at+0x800+8*r.Uint64N(4), got[0xA8:0xB0])
	return fmt.Sprintf("%x%s", got[:0xB0], d.Log)
}

// stateOfAll is that of the transport with its bus and its instance.
type stateOfAll struct {
	Version   int
	Bus       pci.State
	Transport vpci.State
	Below     virtiotest.QuietState
}

func (d *stateRig) State() any {
	below := d.dev.Save(d.in)
	return &stateOfAll{1, *d.host.State().(*pci.State), *d.tr.State().(*vpci.State), below}
}

func (d *stateRig) SetState(v any) error {
	s := v.(*stateOfAll)
	if err := d.host.SetState(&s.Bus); err != nil {
		return err
	}
	if err := d.tr.SetState(&s.Transport); err != nil {
		return err
	}
	return d.dev.Restore(d.in, s.Below)
}

// transportRig is the transport alone.
type transportRig struct{ *stateRig }

func (d transportRig) State() any           { return d.tr.State() }
func (d transportRig) SetState(v any) error { return d.tr.SetState(v) }

func newTransportRig(t testing.TB) statetest.Rig { return transportRig{makeStateRig(t)} }

func TestState(t *testing.T) {
	statetest.Differential(t, 200, newStateRig)
	statetest.RefusesOthers(t, newTransportRig)
	for name, change := range map[string]func(*vpci.State){
		"queues": func(s *vpci.State) { s.QueueVectors = s.QueueVectors[:1] }, "ISR": func(s *vpci.State) { s.ISR = 4 },
		"vector": func(s *vpci.State) { s.QueueVectors[1] = 3 }, "configuration vector": func(s *vpci.State) { s.ConfigVector = 0xFFFE },
	} {
		d := newTransportRig(t)
		s := d.State().(*vpci.State)
		change(s)
		if d.SetState(s) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// A vector that is masked with a signal pending sends its message when the restored
// mask is cleared.
func TestPendingVectorIsRestored(t *testing.T) {
	a, b := makeStateRig(t), makeStateRig(t)
	a.config(4, 2, 6)
	a.config(msixAt, 2, 1<<15)
	a.put(0x1020, 4, 0xFEE0_0000)
	a.put(0x1028, 4, 0x55)
	a.put(0x16, 2, 1)
	a.put(0x1A, 2, 2)
	a.tr.Interrupt(1).Signal()
	if err := b.SetState(statetest.RoundTrip(t, a.State())); err != nil {
		t.Fatal(err)
	}
	var p [8]byte
	if b.tr.Read(0x2000, p[:]); p[0] != 4 || b.Log != "" {
		t.Errorf("pending bits %x, sent%s", p, b.Log)
	}
	b.put(0x102C, 4, 0)
	if b.Log != " msi:fee00000:55" {
		t.Errorf("the mask's end sent%s", b.Log)
	}
}

// A host that has no interrupt left is reported, and the transport is as after a
// reset.
func TestStateWithoutMessages(t *testing.T) {
	in := (&virtiotest.Quiet{}).NewInstance(t)
	tr, err := vpci.New(in, noMessages{})
	if err != nil {
		t.Fatal(err)
	}
	before := *tr.State().(*vpci.State)
	err = tr.SetState(&vpci.State{Version: 1, QueueSel: 1, ConfigVector: vpci.NoVector, QueueVectors: []uint16{1}})
	if err == nil || !strings.Contains(err.Error(), errNoMessages.Error()) {
		t.Errorf("error %v", err)
	}
	if got := *tr.State().(*vpci.State); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("state %+v, want %+v", got, before)
	}
}

var errNoMessages = errors.New("no more eventfds")

type noMessages struct{ bus.Fabric }

func (noMessages) NewMessage() (bus.Message, error) { return nil, errNoMessages }

func FuzzState(f *testing.F) { statetest.Fuzz(f, newTransportRig, nil) }
