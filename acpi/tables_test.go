package acpi_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly/acpi"
	"github.com/mayfly-vm/mayfly/memory"
)

var le = binary.LittleEndian

// machine is a machine of n processors with APIC ids from 0 on.
func machine(n int) acpi.Config {
	c := acpi.Config{
		IOAPIC: acpi.IOAPIC{ID: 7, Addr: 0xFEC0_0000, Pins: 8},
		COM1:   acpi.Serial{Port: 0x3f8, GSI: 4},
		Power:  acpi.Power{Port: 0x600, GSI: 5},
	}
	for i := range n {
		c.CPUs = append(c.CPUs, acpi.CPU{APICID: uint32(i)})
	}
	return c
}

func sum(b []byte) (s byte) {
	for _, c := range b {
		s += c
	}
	return s
}

// table returns the table at addr, checked, and its signature.
func table(b []byte, base, addr uint64) (string, []byte, error) {
	if addr < base || addr-base+36 > uint64(len(b)) {
		return "", nil, fmt.Errorf("no table at %#x", addr)
	}
	t := b[addr-base:]
	n := le.Uint32(t[4:])
	if n < 36 || uint64(n) > uint64(len(t)) {
		return "", nil, fmt.Errorf("%.4s at %#x has length %d", t, addr, n)
	}
	if s := sum(t[:n]); s != 0 {
		return "", nil, fmt.Errorf("%.4s at %#x has checksum %#x", t, addr, s)
	}
	return string(t[:4]), t[:n], nil
}

// read follows the tables from the root pointer as a guest does.
func read(at acpi.Tables, base uint64) (map[string][]byte, error) {
	b := at.Bytes
	if at.RSDP%16 != 0 || at.RSDP < base || at.RSDP-base+36 > uint64(len(b)) {
		return nil, fmt.Errorf("root pointer at %#x", at.RSDP)
	}
	r := b[at.RSDP-base:][:36]
	if string(r[:8]) != "RSD PTR " || sum(r[:20]) != 0 || sum(r) != 0 || r[15] != 2 || le.Uint32(r[20:]) != 36 {
		return nil, fmt.Errorf("root pointer % x", r)
	}
	sig, xsdt, err := table(b, base, le.Uint64(r[24:]))
	if err != nil || sig != "XSDT" || len(xsdt)%8 != 4 {
		return nil, fmt.Errorf("XSDT %q of %d bytes: %w", sig, len(xsdt), err)
	}
	tables := map[string][]byte{sig: xsdt}
	for p := xsdt[36:]; len(p) > 0; p = p[8:] {
		sig, t, err := table(b, base, le.Uint64(p))
		if err != nil {
			return nil, err
		}
		tables[sig] = t
	}
	fadt := tables["FACP"]
	if len(fadt) != 276 || uint64(le.Uint32(fadt[40:])) != le.Uint64(fadt[140:]) {
		return nil, fmt.Errorf("FADT of %d bytes", len(fadt))
	}
	sig, t, err := table(b, base, le.Uint64(fadt[140:]))
	if err != nil {
		return nil, err
	}
	tables[sig] = t
	return tables, nil
}

// processors returns the APIC ids that a MADT lists, by processor UID, and the
// address of the I/O APIC.
func processors(madt []byte) (ids map[uint32]uint32, ioapic uint32, err error) {
	ids = map[uint32]uint32{}
	for p := madt[44:]; len(p) > 0; p = p[p[1]:] {
		if len(p) < 2 || p[1] < 8 || int(p[1]) > len(p) {
			return nil, 0, fmt.Errorf("entry % x", p)
		}
		uid := uint32(0)
		switch p[0] {
		case 0:
			uid = uint32(p[2])
			ids[uid] = uint32(p[3])
		case 1:
			ioapic = le.Uint32(p[4:])
		case 9:
			uid = le.Uint32(p[12:])
			ids[uid] = le.Uint32(p[4:])
		}
	}
	return ids, ioapic, nil
}

func TestBuild(t *testing.T) {
	const base = 0xE0000
	at, err := acpi.Build(base, machine(2))
	if err != nil {
		t.Fatal(err)
	}
	tables, err := read(at, base)
	if err != nil {
		t.Fatal(err)
	}
	if at.RSDP != base {
		t.Errorf("root pointer at %#x: a guest that scans from %#x on finds it later", at.RSDP, base)
	}
	fadt := tables["FACP"]
	if fadt[8] != 6 || fadt[131] != 5 {
		t.Errorf("FADT revision %d.%d", fadt[8], fadt[131])
	}
	// No legacy devices, no 8042; no VGA, no CMOS clock.
	if f := le.Uint16(fadt[109:]); f != 0x24 {
		t.Errorf("boot architecture flags %#x", f)
	}
	// Hardware-reduced (20), headless (12), reset register (10), no fixed
	// buttons (4, 5) and RTC (6), C1 (2), WBINVD (0).
	if f := le.Uint32(fadt[112:]); f != 1<<20|1<<12|1<<10|1<<6|1<<5|1<<4|1<<2|1<<0 {
		t.Errorf("flags %#x", f)
	}
	for _, r := range []struct {
		name string
		off  int
		port byte
	}{{"sleep control", 244, 0}, {"sleep status", 256, 1}, {"reset", 116, 2}} {
		if want := []byte{1, 8, 0, 1, r.port, 6, 0, 0, 0, 0, 0, 0}; !bytes.Equal(fadt[r.off:r.off+12], want) {
			t.Errorf("%s register % x, want % x", r.name, fadt[r.off:r.off+12], want)
		}
	}
	if fadt[128] != acpi.ResetValue {
		t.Errorf("reset value %d", fadt[128])
	}
	// FACS, SCI and all fixed registers are absent.
	for _, z := range [][2]int{{36, 40}, {46, 95}, {132, 140}, {148, 244}} {
		if b := fadt[z[0]:z[1]]; !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("FADT %v: % x, want zeros", z, b)
		}
	}
	if f := le.Uint32(tables["APIC"][40:]); f != 0 {
		t.Errorf("MADT flags %#x: there is no 8259", f)
	}
}

func TestMADTNamesProcessors(t *testing.T) {
	c := machine(0)
	// Ids with a gap, as topologies have them, across the border to x2APIC.
	for _, id := range []uint32{0, 1, 8, 254, 255, 256, 70000} {
		c.CPUs = append(c.CPUs, acpi.CPU{APICID: id})
	}
	at, err := acpi.Build(0xE0000, c)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := read(at, 0xE0000)
	if err != nil {
		t.Fatal(err)
	}
	madt := tables["APIC"]
	ids, ioapic, err := processors(madt)
	if err != nil {
		t.Fatal(err)
	}
	want := map[uint32]uint32{0: 0, 1: 1, 2: 8, 3: 254, 4: 255, 5: 256, 6: 70000}
	if d := cmp.Diff(want, ids); d != "" || ioapic != 0xFEC0_0000 {
		t.Errorf("I/O APIC %#x, APIC ids (-want +got):\n%s", ioapic, d)
	}
	if n := len(madt) - 44; n != 4*8+3*16+12 {
		t.Errorf("%d bytes of entries", n)
	}
}

// impossible are machines and places that neither kind of table can describe.
var impossible = []struct {
	name string
	base uint64
	edit func(*acpi.Config)
	want error
}{
	{"base is odd", 0xE0008, nil, acpi.ErrPlace},
	{"reaches over 1 MiB", 0xFFFF0, nil, acpi.ErrPlace},
	{"at the end of all addresses", math.MaxUint64 - 15, nil, acpi.ErrPlace},
	{"no processor", 0xE0000, func(c *acpi.Config) { c.CPUs = nil }, acpi.ErrConfig},
	{"two of one id", 0xE0000, func(c *acpi.Config) { c.CPUs[1].APICID = 0 }, acpi.ErrConfig},
	{"broadcast id", 0xE0000, func(c *acpi.Config) { c.CPUs[1].APICID = math.MaxUint32 }, acpi.ErrConfig},
	{"I/O APIC without address", 0xE0000, func(c *acpi.Config) { c.IOAPIC.Addr = 0 }, acpi.ErrConfig},
	{"I/O APIC without pins", 0xE0000, func(c *acpi.Config) { c.IOAPIC.Pins = 0 }, acpi.ErrConfig},
	{"I/O APIC of 241 pins", 0xE0000, func(c *acpi.Config) { c.IOAPIC.Pins = 241 }, acpi.ErrConfig},
	{"no power device", 0xE0000, func(c *acpi.Config) { c.Power.Port = 0 }, acpi.ErrConfig},
	{"GSI without a pin", 0xE0000, func(c *acpi.Config) { c.Power.GSI = 8 }, acpi.ErrConfig},
	{"shared GSI", 0xE0000, func(c *acpi.Config) { c.Power.GSI = 4 }, acpi.ErrConfig},
	{"shared ports", 0xE0000, func(c *acpi.Config) { c.Power.Port = 0x3ff }, acpi.ErrConfig},
	{"PCI without configuration space", 0xE0000, pciWith(func(p *acpi.PCI) { p.ECAM = 0 }), acpi.ErrConfig},
	{"PCI configuration space is odd", 0xE0000, pciWith(func(p *acpi.PCI) { p.ECAM = 0xE000_1000 }), acpi.ErrConfig},
	{"PCI without a low window", 0xE0000, pciWith(func(p *acpi.PCI) { p.Low.Size = 0 }), acpi.ErrConfig},
	{"low PCI window over 4 GiB", 0xE0000, pciWith(func(p *acpi.PCI) { p.Low.Addr = 0xF800_0000 }), acpi.ErrConfig},
	{"low PCI window far out", 0xE0000, pciWith(func(p *acpi.PCI) { p.Low.Addr = math.MaxUint64 &^ 4095 }), acpi.ErrConfig},
	{"high PCI window wraps", 0xE0000, pciWith(func(p *acpi.PCI) { p.High.Addr = math.MaxUint64 &^ 4095 }), acpi.ErrConfig},
	{"PCI window is odd", 0xE0000, pciWith(func(p *acpi.PCI) { p.High.Size = 100 }), acpi.ErrConfig},
	{"PCI windows overlap", 0xE0000, pciWith(func(p *acpi.PCI) { p.High = p.Low }), acpi.ErrConfig},
	{"PCI window over configuration space", 0xE0000, pciWith(func(p *acpi.PCI) { p.ECAM = 0xC010_0000 }), acpi.ErrConfig},
	{"ports after the last", 0xE0000, func(c *acpi.Config) { c.COM1.Port = 0xFFF9 }, acpi.ErrConfig},
}

func pciWith(edit func(*acpi.PCI)) func(*acpi.Config) {
	return func(c *acpi.Config) {
		c.PCI = &acpi.PCI{ECAM: 0xE000_0000, Low: memory.Range{Addr: 0xC000_0000, Size: 0x1000_0000}, High: memory.Range{Addr: 1 << 38, Size: 1 << 30}}
		edit(c.PCI)
	}
}

func TestMCFG(t *testing.T) {
	c := machine(1)
	pciWith(func(*acpi.PCI) {})(&c)
	at, err := acpi.Build(0xE0000, c)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := read(at, 0xE0000)
	if err != nil {
		t.Fatal(err)
	}
	m := tables["MCFG"]
	if len(m) != 60 || le.Uint64(m[44:]) != 0xE000_0000 || !bytes.Equal(m[52:], make([]byte, 8)) {
		t.Errorf("MCFG % x", m)
	}
	c.PCI = nil
	without, err := acpi.Build(0xE0000, c)
	if err != nil || bytes.Contains(without.Bytes, []byte("MCFG")) || bytes.Contains(without.Bytes, []byte("PCI0")) {
		t.Errorf("a machine without PCI describes it (error %v)", err)
	}
}

func TestRefuses(t *testing.T) {
	for _, tt := range impossible {
		t.Run(tt.name, func(t *testing.T) {
			c := machine(2)
			if tt.edit != nil {
				tt.edit(&c)
			}
			if _, err := acpi.Build(tt.base, c); !errors.Is(err, tt.want) {
				t.Errorf("Build: error %v, want %v", err, tt.want)
			}
			if _, err := acpi.MPTable(tt.base, c); !errors.Is(err, tt.want) {
				t.Errorf("MPTable: error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestBuildWithoutSerialPort(t *testing.T) {
	c := machine(1)
	c.COM1 = acpi.Serial{}
	at, err := acpi.Build(0xE0000, c)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(at.Bytes, []byte("COM1")) {
		t.Error("the DSDT has a COM1")
	}
}

func FuzzBuild(f *testing.F) {
	f.Add(uint64(0xE0000), uint16(2), uint32(0), uint16(0x3f8), uint8(4), uint16(0x600), uint8(5), uint8(8))
	f.Add(uint64(0xE0000), uint16(300), uint32(3), uint16(0), uint8(0), uint16(0x600), uint8(5), uint8(24))
	f.Fuzz(func(t *testing.T, base uint64, cpus uint16, first uint32, com uint16, comGSI uint8, power uint16, powerGSI, pins uint8) {
		c := machine(0)
		for i := range uint32(cpus % 2048) {
			c.CPUs = append(c.CPUs, acpi.CPU{APICID: first + i})
		}
		c.COM1 = acpi.Serial{Port: com, GSI: uint32(comGSI)}
		c.Power = acpi.Power{Port: power, GSI: uint32(powerGSI)}
		c.IOAPIC.Pins = int(pins)
		at, err := acpi.Build(base, c)
		if err != nil {
			return
		}
		tables, err := read(at, base)
		if err != nil {
			t.Fatal(err)
		}
		if len(tables) != 4 {
			t.Errorf("%d tables", len(tables))
		}
		ids, _, err := processors(tables["APIC"])
		if err != nil || len(ids) != len(c.CPUs) {
			t.Fatalf("%d processors, want %d, error %v", len(ids), len(c.CPUs), err)
		}
		for i, cpu := range c.CPUs {
			if ids[uint32(i)] != cpu.APICID {
				t.Errorf("processor %d has APIC id %d, want %d", i, ids[uint32(i)], cpu.APICID)
			}
		}
		if again, err := acpi.Build(base, c); err != nil || !slices.Equal(again.Bytes, at.Bytes) {
			t.Error("the same machine has other tables the second time")
		}
	})
}
