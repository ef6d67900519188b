package pci_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// Guest-physical addresses of configuration space and of the windows.
const (
	ecamAt = 0xE000_0000
	lowAt  = 0xD000_0000
	highAt = 0x40_0000_0000
)

var (
	low  = memory.Range{Addr: lowAt, Size: 0x100_0000}
	high = memory.Range{Addr: highAt, Size: 1 << 30}
)

// function is one whose BARs read as their offset's low byte.
type function struct {
	space *pci.Space
	moves []move
}

type move struct {
	bar    int
	addr   uint64
	mapped bool
}

func (f *function) Space() *pci.Space { return f.space }
func (f *function) Moved(i int, addr uint64, mapped bool) {
	f.moves = append(f.moves, move{i, addr, mapped})
}

type offsets struct{}

func (offsets) Read(off uint64, p []byte) {
	for i := range p {
		p[i] = byte(off) + byte(i)
	}
}
func (offsets) Write(uint64, []byte) {}

func newFunction(t testing.TB, bars ...pci.BAR) *function {
	t.Helper()
	f := &function{space: pci.NewSpace(pci.ID{Vendor: 0x1234, Device: 0x5678, Class: 0x01_80_00, Revision: 9, SubVendor: 0xAAAA, SubDevice: 0xBBBB})}
	at := 0
	for _, b := range bars {
		b.Name, b.Handler = "test", offsets{}
		if err := f.space.SetBAR(at, b); err != nil {
			t.Fatal(err)
		}
		if at++; b.Wide {
			at++
		}
	}
	return f
}

// machine is a host bridge with real buses.
type machine struct {
	t testing.TB
	*virtiotest.Fabric
	host *pci.Host
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	m := &machine{t: t, Fabric: virtiotest.NewFabric(t)}
	var err error
	if m.host, err = pci.NewHost(pci.Config{MMIO: &m.MMIO, ECAM: ecamAt, Low: low, High: high}); err != nil {
		t.Fatal(err)
	}
	if err := m.MMIO.Add("ecam", ecamAt, pci.ECAMSize, m.host.ECAM()); err != nil {
		t.Fatal(err)
	}
	if err := m.Ports.Add("pci", pci.Ports, pci.PortsSize, m.host.IO()); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) add(f pci.Function) int {
	m.t.Helper()
	slot, err := m.host.Add(-1, f)
	if err != nil {
		m.t.Fatal(err)
	}
	return slot
}

func ecam(slot, off int) uint64 { return ecamAt + uint64(slot<<15+off) }

func (m *machine) get(slot, off, n int) uint32 {
	var p [4]byte
	m.MMIO.Read(ecam(slot, off), p[:n])
	return binary.LittleEndian.Uint32(p[:])
}

func (m *machine) set(slot, off, n int, v uint32) {
	p := binary.LittleEndian.AppendUint32(nil, v)
	m.MMIO.Write(ecam(slot, off), p[:n])
}

func TestHeaderByBothWays(t *testing.T) {
	m := newMachine(t)
	if slot := m.add(newFunction(t)); slot != 1 {
		t.Errorf("slot %d, want 1", slot)
	}
	byPorts := func(slot, off, n int) uint32 {
		p := binary.LittleEndian.AppendUint32(nil, 1<<31|uint32(slot)<<11|uint32(off)&0xFC)
		m.Ports.Write(0xCF8, p)
		v := make([]byte, 4)
		m.Ports.Read(0xCFC+uint64(off&3), v[:n])
		return binary.LittleEndian.Uint32(v)
	}
	for _, c := range []struct {
		name         string
		slot, off, n int
		want         uint32
	}{
		{"bridge", 0, 0, 4, 0x0008_1B36}, {"bridge's class", 0, 0xA, 2, 0x0600},
		{"vendor", 1, 0, 2, 0x1234}, {"device", 1, 2, 2, 0x5678}, {"ids", 1, 0, 4, 0x5678_1234},
		{"class and revision", 1, 8, 4, 0x01_80_00_09}, {"header type", 1, 0xE, 1, 0},
		{"subsystem", 1, 0x2C, 4, 0xBBBB_AAAA}, {"pin", 1, 0x3D, 1, 0}, {"command", 1, 4, 2, 0},
		{"absent", 2, 0, 4, 0xFFFF_FFFF}, {"absent word", 31, 0, 2, 0xFFFF},
	} {
		if got := m.get(c.slot, c.off, c.n); got != c.want {
			t.Errorf("%s by ECAM: %#x, want %#x", c.name, got, c.want)
		}
		if got := byPorts(c.slot, c.off, c.n); got != c.want {
			t.Errorf("%s by ports: %#x, want %#x", c.name, got, c.want)
		}
	}
	if got := m.get(1, 1<<12, 4); got != 0xFFFF_FFFF {
		t.Errorf("function 1: %#x", got)
	}
}

// What Linux does before it trusts the ports (pci_check_type1), and nonsense.
func TestPorts(t *testing.T) {
	m := newMachine(t)
	in := func(port uint64, n int) uint32 {
		v := make([]byte, 4)
		m.Ports.Read(port, v[:n])
		return binary.LittleEndian.Uint32(v)
	}
	m.Ports.Write(0xCFB, []byte{1})
	m.Ports.Write(0xCF8, binary.LittleEndian.AppendUint32(nil, 0x8000_0000))
	if got := in(0xCF8, 4); got != 0x8000_0000 {
		t.Errorf("address %#x", got)
	}
	if got := in(0xCF9, 1); got != 0xFF {
		t.Errorf("port 0xCF9: %#x", got)
	}
	if got := in(0xCFC, 4); got != 0x0008_1B36 {
		t.Errorf("bridge: %#x", got)
	}
	for name, a := range map[string]uint32{"not enabled": 0, "bus 1": 0x8001_0000, "function 1": 0x8000_0100} {
		m.Ports.Write(0xCF8, binary.LittleEndian.AppendUint32(nil, a))
		if got := in(0xCFC, 4); got != 0xFFFF_FFFF {
			t.Errorf("%s: %#x", name, got)
		}
	}
}

func TestOnlyWritableBitsChange(t *testing.T) {
	m := newMachine(t)
	f := newFunction(t, pci.BAR{Size: 0x1000})
	off, err := f.space.AddCapability(9, []byte{8, 0xAA, 0, 0xBB, 0, 0}, []byte{0, 0, 0xF0, 0, 0xFF})
	if err != nil || off != 0x40 {
		t.Fatal(off, err)
	}
	m.add(f)
	for off := range 0x200 {
		if off < 4 || off >= 8 {
			m.set(1, off, 1, 0xFF)
		}
	}
	want := map[int]uint32{0: 0x5678_1234, 8: 0x01_80_00_09, 0x10: 0xFFFF_F000, 0x14: 0, 0x2C: 0xBBBB_AAAA, 0x34: 0x40, 0x3C: 0xFF,
		0x40: 0xAA08_0009, 0x44: 0x00FF_BBF0, 0xFC: 0, 0x100: 0xFFFF_FFFF, 0xFFC: 0xFFFF_FFFF}
	for off, w := range want {
		if got := m.get(1, off, 4); got != w {
			t.Errorf("%#x: %#x, want %#x", off, got, w)
		}
	}
	m.set(1, 4, 4, 0xFFFF_FFFF)
	if got := m.get(1, 4, 4); got != 0x0010_0406 {
		t.Errorf("command and status %#x, want memory, master, no INTx and a capability list", got)
	}
}

func TestBARsAreAssignedAndSized(t *testing.T) {
	m := newMachine(t)
	m.add(newFunction(t, pci.BAR{Size: 0x1000}, pci.BAR{Size: 1 << 20, Wide: true, Prefetch: true}))
	m.add(newFunction(t, pci.BAR{Size: 0x4000}, pci.BAR{Size: 0x1000}))
	for _, c := range []struct {
		slot, bar int
		want      uint64
	}{{1, 0, lowAt}, {2, 0, lowAt + 0x4000}, {2, 1, lowAt + 0x1000}, {1, 1, highAt | 0xC}} {
		got := uint64(m.get(c.slot, 0x10+4*c.bar, 4))
		if got&4 != 0 {
			got |= uint64(m.get(c.slot, 0x14+4*c.bar, 4)) << 32
		}
		if got != c.want {
			t.Errorf("slot %d BAR %d: %#x, want %#x", c.slot, c.bar, got, c.want)
		}
	}
	for off, want := range map[int]uint32{0x10: 0xFFFF_F000, 0x14: 0xFFF0_000C, 0x18: 0xFFFF_FFFF, 0x1C: 0, 0x30: 0} {
		m.set(1, off, 4, 0xFFFF_FFFF)
		if got := m.get(1, off, 4); got != want {
			t.Errorf("sizing at %#x: %#x, want %#x", off, got, want)
		}
	}
}

func TestGuestMovesABAR(t *testing.T) {
	m := newMachine(t)
	f := newFunction(t, pci.BAR{Size: 0x1000}, pci.BAR{Size: 0x2000, Wide: true})
	m.add(f)
	other := newFunction(t, pci.BAR{Size: 0x1000})
	m.add(other)
	m.set(2, 4, 2, 2)
	answers := func(addr uint64) bool {
		var p [1]byte
		return m.MMIO.Read(addr+5, p[:]) && p[0] == 5
	}
	check := func(what string, on, off uint64) {
		t.Helper()
		if on != 0 && !answers(on) || off != 0 && answers(off) {
			t.Errorf("%s: at %#x %v, at %#x %v", what, on, answers(on), off, answers(off))
		}
	}
	first := uint64(m.get(1, 0x10, 4))
	check("before it is enabled", 0, first)
	m.set(1, 4, 2, 2)
	check("enabled", first, 0)
	check("enabled, wide", highAt, 0)
	m.set(1, 0x10, 4, 0xFFFF_FFFF) // sizing with the decoder on
	check("outside the windows", 0, first)
	m.set(1, 0x10, 4, uint32(lowAt+0x8_0000))
	check("moved", lowAt+0x8_0000, first)
	m.set(1, 0x10, 4, m.get(2, 0x10, 4)) // another one's place
	check("onto another", uint64(m.get(2, 0x10, 4)), lowAt+0x8_0000)
	m.set(1, 0x10, 4, ecamAt)
	check("onto ECAM", 0, lowAt+0x8_0000)
	m.set(1, 0x14, 4, uint32(lowAt+0x10_0000))
	m.set(1, 0x18, 4, 0)
	check("wide, moved low", lowAt+0x10_0000, highAt)
	m.set(1, 4, 2, 0)
	check("disabled", 0, lowAt+0x10_0000)
	want := []move{{0, first, true}, {2, 0, false}}
	if f.moves[0] != want[0] {
		t.Errorf("first move %+v, want %+v", f.moves[0], want[0])
	}
	if last := f.moves[len(f.moves)-1]; last.mapped {
		t.Errorf("last move %+v", last)
	}
	if len(other.moves) != 1 {
		t.Errorf("the other one moved: %+v", other.moves)
	}
}

func TestBadFunctions(t *testing.T) {
	for name, b := range map[string]pci.BAR{
		"no power of two": {Size: 0x3000}, "too small": {Size: 8}, "too large for 32 bits": {Size: 1 << 32}, "too large": {Size: 1 << 50, Wide: true},
	} {
		b.Handler = offsets{}
		if err := pci.NewSpace(pci.ID{}).SetBAR(0, b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	s := pci.NewSpace(pci.ID{})
	if err := s.SetBAR(2, pci.BAR{Size: 0x1000, Wide: true, Handler: offsets{}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		i    int
		wide bool
	}{{2, false}, {3, false}, {1, true}, {5, true}, {6, false}, {-1, false}} {
		if err := s.SetBAR(c.i, pci.BAR{Size: 0x1000, Wide: c.wide, Handler: offsets{}}); err == nil {
			t.Errorf("BAR %d, wide %v: accepted", c.i, c.wide)
		}
	}
	for {
		if _, err := s.AddCapability(9, make([]byte, 30), nil); err != nil {
			break
		}
	}
	m := newMachine(t)
	if _, err := m.host.Add(0, newFunction(t)); err == nil {
		t.Error("a second function in slot 0")
	}
	if _, err := m.host.Add(32, newFunction(t)); err == nil {
		t.Error("a function in slot 32")
	}
	if _, err := m.host.Add(5, newFunction(t, pci.BAR{Size: 0x1000}, pci.BAR{Size: low.Size * 2})); err == nil {
		t.Error("a BAR larger than its window")
	}
	for range 31 {
		m.add(newFunction(t, pci.BAR{Size: 0x1000}))
	}
	if _, err := m.host.Add(-1, newFunction(t)); err == nil {
		t.Error("a function on a full bus")
	}
	if got := uint64(m.get(1, 0x10, 4)); got != lowAt {
		t.Errorf("the first BAR is at %#x: the refused function kept its place", got)
	}
	for name, c := range map[string]pci.Config{
		"no bus": {}, "ECAM": {MMIO: &m.MMIO, ECAM: 0x1000}, "ECAM too high": {MMIO: &m.MMIO, ECAM: 1 << 32},
		"low window": {MMIO: &m.MMIO, Low: memory.Range{Addr: 0xFFFF_0000, Size: 0x2_0000}}, "high window": {MMIO: &m.MMIO, High: memory.Range{Addr: 1 << 63, Size: 1 << 63}},
	} {
		if _, err := pci.NewHost(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSaveRestore(t *testing.T) {
	build := func() (*machine, *function) {
		m := newMachine(t)
		f := newFunction(t, pci.BAR{Size: 0x1000})
		m.add(newFunction(t, pci.BAR{Size: 0x1000}))
		m.add(f)
		return m, f
	}
	m, _ := build()
	a, b := m.get(1, 0x10, 4), m.get(2, 0x10, 4)
	m.set(1, 0x10, 4, b) // change places
	m.set(2, 0x10, 4, a)
	m.set(1, 4, 2, 6)
	m.set(2, 4, 2, 2)
	m.set(2, 0x3C, 1, 11)
	s := m.host.State()
	n, f := build()
	n.set(2, 4, 2, 2)
	if err := n.host.SetState(s); err != nil {
		t.Fatal(err)
	}
	if n.get(1, 0x10, 4) != b || n.get(2, 0x10, 4) != a || n.get(2, 0x3C, 1) != 11 || n.get(1, 4, 2) != 6 {
		t.Error("registers differ")
	}
	if last := f.moves[len(f.moves)-1]; last != (move{0, uint64(a), true}) {
		t.Errorf("the function answers at %+v, want %#x", last, a)
	}
	for name, bad := range map[string]func(*pci.State){
		"version": func(s *pci.State) { s.Version = 7 }, "missing": func(s *pci.State) { s.Slots = s.Slots[:1] },
		"address":  func(s *pci.State) { s.Address = 1 },
		"twice":    func(s *pci.State) { s.Slots[2] = s.Slots[1] },
		"short":    func(s *pci.State) { s.Slots[1].Space = s.Slots[1].Space[:9] },
		"other":    func(s *pci.State) { s.Slots[1].Space = bytes.Repeat([]byte{1}, pci.SpaceSize) },
		"readonly": func(s *pci.State) { s.Slots[1].Space[0x10] ^= 8 },
		"slot":     func(s *pci.State) { s.Slots[1].Slot = 77 },
		"vector":   func(s *pci.State) { s.Slots[1].Vectors = make([]pci.VectorState, 1) },
		"no block": func(s *pci.State) { s.Slots[1].Mapped |= 2 }, "no such block": func(s *pci.State) { s.Slots[1].Mapped |= 1 << 7 },
		"disabled": func(s *pci.State) { s.Slots[1].Space[4] = 0 },
		"outside":  func(s *pci.State) { s.Slots[1].Space[0x13] = 1 },
		"overlap":  func(s *pci.State) { copy(s.Slots[1].Space[0x10:0x14], s.Slots[2].Space[0x10:0x14]) },
	} {
		s := m.host.State().(*pci.State)
		bad(s)
		n, _ := build()
		before := n.host.State()
		if err := n.host.SetState(s); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if !reflect.DeepEqual(n.host.State(), before) {
			t.Errorf("%s: refused, and the bus has changed", name)
		}
	}
}

var _ bus.Handler = offsets{}
