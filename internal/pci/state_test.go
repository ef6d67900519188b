package pci_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/internal/statetest"
	"github.com/mayfly-vm/mayfly/memory"
)

// stateRig is a bus whose slot 1 has MSI-X in base address 0 and a block in 2, and
// whose slot 2 has blocks in 0 and, of 64 bits, in 2.
type stateRig struct {
	*pci.Host
	statetest.Fabric
	msix *pci.MSIX
}

// located is a function that records where it is.
type located struct {
	*function
	d    *stateRig
	name string
}

func (f located) Moved(i int, addr uint64, mapped bool) {
	f.d.Logf("%s BAR %d at %x: %v", f.name, i, addr, mapped)
}

const stateVectors = 4

func newStateRig(t testing.TB) statetest.Rig {
	d := &stateRig{}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	d.Host, err = pci.NewHost(pci.Config{MMIO: &d.MMIO, ECAM: ecamAt, Low: low, High: memory.Range{Addr: 0x40_0000_0000, Size: 1 << 30}})
	check(err)
	check(d.MMIO.Add("ecam", ecamAt, pci.ECAMSize, d.ECAM()))
	check(d.Ports.Add("pci", pci.Ports, pci.PortsSize, d.IO()))
	d.msix, err = pci.NewMSIX(&d.Fabric, stateVectors)
	check(err)
	t.Cleanup(func() { d.msix.Close() })
	a, b := located{newFunction(t), d, "a"}, located{newFunction(t), d, "b"}
	for _, c := range []struct {
		f located
		i int
		b pci.BAR
	}{
		{a, 0, pci.BAR{Size: 0x1000, Handler: vectors{a.function, d.msix}}}, {a, 2, pci.BAR{Size: 0x1000, Handler: offsets{}}},
		{b, 0, pci.BAR{Size: 0x1000, Handler: offsets{}}}, {b, 2, pci.BAR{Size: 0x4000, Wide: true, Handler: offsets{}}},
	} {
		c.b.Name = c.f.name
		check(c.f.space.SetBAR(c.i, c.b))
	}
	check(d.msix.AddTo(a.space, 0, 0, 0x800))
	for _, f := range []located{a, b} {
		_, err := d.Add(-1, f)
		check(err)
	}
	return d
}

// places are where blocks are moved to: few, so that they meet; the last is that of
// a register that is being sized, the first is outside the windows.
var places = []uint32{0x1000, 0xD000_0000, 0xD000_1000, 0xD000_4000, 0xD000_8000, 0xD0FF_F000, 0xFFFF_FFFF}

func (d *stateRig) Step(r *rand.Rand) string {
	d.Log = ""
	p := binary.LittleEndian.AppendUint64(nil, r.Uint64())
	n := 1 << r.IntN(4)
	slot := 1 + r.IntN(2)
	switch r.IntN(12) {
	case 0, 1: // move or size a block
		bar := 2 * r.IntN(2)
		v := binary.LittleEndian.AppendUint32(nil, places[r.IntN(len(places))])
		d.Write(ecam(slot, 0x10+4*bar), v)
	case 2: // the upper half of a wide one
		d.Write(ecam(2, 0x1C), []byte{byte(64 * r.IntN(2)), 0, 0, 0})
	case 3, 4:
		d.Write(ecam(slot, 4), []byte{byte(r.IntN(8)) | byte(r.IntN(2))<<1, byte(r.Uint32())})
	case 5: // message control
		d.Write(ecam(1, 0x42), []byte{byte(r.Uint32()), byte(r.IntN(4)) << 6})
	case 6, 7: // a table entry, wherever the table is
		at := uint64(16*r.IntN(stateVectors) + 4*r.IntN(4))
		binary.LittleEndian.PutUint32(p, r.Uint32N(8))
		d.msix.WriteTable(at, p[:4])
	case 8:
		m, err := d.msix.Use(r.IntN(stateVectors))
		if err != nil {
			return err.Error()
		}
		m.Signal()
	case 9:
		addr := binary.LittleEndian.AppendUint32(nil, r.Uint32N(2)<<31|r.Uint32N(4)<<11|r.Uint32N(64)<<2)
		d.Ports.Write(0xCF8, addr)
	case 10:
		d.Ports.Write(0xCFC+r.Uint64N(4), p[:1+r.IntN(4)])
	default: // anything
		d.Write(ecam(r.IntN(4), r.IntN(0x110)), p[:n])
	}
	got := make([]byte, 64)
	d.MMIO.Read(ecam(slot, 4*r.IntN(24)), got[:4])
	d.MMIO.Read(uint64(places[r.IntN(len(places))])+8*r.Uint64N(0x200), got[8:16])
	d.Ports.Read(0xCF8+4*r.Uint64N(2), got[16:20])
	d.msix.ReadPBA(0, got[24:32])
	d.msix.ReadTable(16*r.Uint64N(stateVectors), got[32:40])
	return fmt.Sprintf("%x%s", got, d.Log)
}

func TestState(t *testing.T) {
	statetest.Differential(t, 200, newStateRig)
	statetest.RefusesOthers(t, newStateRig)
}

// A guest that is sizing a base address register finds the ones that it wrote, and
// blocks answer where it moved them.
func TestStateInMidWork(t *testing.T) {
	a, b := newStateRig(t).(*stateRig), newStateRig(t).(*stateRig)
	a.Write(ecam(2, 4), []byte{2, 0})
	a.Write(ecam(2, 0x10), []byte{0, 0x80, 0, 0xD0})
	a.Write(ecam(1, 0x10), []byte{0xFF, 0xFF, 0xFF, 0xFF})
	if err := b.SetState(statetest.RoundTrip(t, a.State())); err != nil {
		t.Fatal(err)
	}
	if want := " b BAR 0 at d0008000: true b BAR 2 at 4000000000: true"; b.Log != want {
		t.Errorf("the restore did%s, want%s", b.Log, want)
	}
	p := make([]byte, 4)
	if b.MMIO.Read(ecam(1, 0x10), p); string(p) != "\x00\xF0\xFF\xFF" {
		t.Errorf("a register that was being sized reads % x", p)
	}
	if b.MMIO.Read(0xD000_8010, p); p[0] != 0x10 {
		t.Errorf("the block that was moved reads % x", p)
	}
}

// Of two blocks at one address the one that was there first stays, and the other
// does not appear by itself when that one leaves.
func TestStateOfBlocksThatCollide(t *testing.T) {
	a := newStateRig(t).(*stateRig)
	a.Write(ecam(2, 0x10), []byte{0, 0x80, 0, 0xD0})
	a.Write(ecam(1, 0x18), []byte{0, 0x80, 0, 0xD0})
	a.Write(ecam(2, 4), []byte{2, 0})
	a.Write(ecam(1, 4), []byte{2, 0})
	b := newStateRig(t).(*stateRig)
	if err := b.SetState(a.State()); err != nil {
		t.Fatal(err)
	}
	statetest.Compare(t, a, b, 500, 1)
}

// A restored bus has messages only where signals are pending.
func TestStateMakesNoMessagesInVain(t *testing.T) {
	a, b := newStateRig(t).(*stateRig), newStateRig(t).(*stateRig)
	for i := range 3 {
		m, err := a.msix.Use(i)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			m.Signal()
		}
	}
	if err := b.SetState(a.State()); err != nil {
		t.Fatal(err)
	}
	if n := b.Messages(); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func FuzzState(f *testing.F) { statetest.Fuzz(f, newStateRig, nil) }
