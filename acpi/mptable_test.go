package acpi_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly/acpi"
)

// mp is what a guest reads out of an MP table.
type mp struct {
	CPUs   []byte
	Boot   int // number of processors that are marked as the one that boots
	Bus    string
	IOAPIC acpi.IOAPIC
	IRQs   []byte // pin of each ISA interrupt
	NMI    bool
}

func readMP(b []byte, base uint64) (*mp, error) {
	if string(b[:4]) != "_MP_" || sum(b[:16]) != 0 || b[8] != 1 || b[9] != 4 || b[11] != 0 {
		return nil, fmt.Errorf("floating pointer % x", b[:16])
	}
	p := b[uint64(le.Uint32(b[4:]))-base:]
	n := int(le.Uint16(p[4:]))
	if string(p[:4]) != "PCMP" || n != len(p) || sum(p) != 0 || p[6] != 4 || le.Uint32(p[36:]) != acpi.LAPICAddr {
		return nil, fmt.Errorf("header % x, checksum %#x, %d bytes", p[:44], sum(p), len(p))
	}
	entries := int(le.Uint16(p[34:]))
	m := &mp{}
	p = p[44:]
	for ; len(p) > 0; entries-- {
		e := p[:8]
		switch e[0] {
		case 0:
			m.CPUs = append(m.CPUs, e[1])
			m.Boot += int(e[3] >> 1)
			p = p[12:]
		case 1:
			m.Bus = string(e[2:8])
		case 2:
			m.IOAPIC = acpi.IOAPIC{ID: e[1], Addr: le.Uint32(e[4:])}
		case 3:
			if int(e[5]) != len(m.IRQs) || e[6] != m.IOAPIC.ID {
				return nil, fmt.Errorf("interrupt % x", e)
			}
			m.IRQs = append(m.IRQs, e[7])
		case 4:
			m.NMI = e[1] == 1 && e[6] == 0xFF && e[7] == 1
		default:
			return nil, fmt.Errorf("entry % x", e)
		}
		p = p[8:]
	}
	if entries != 0 {
		return nil, fmt.Errorf("%d more entries are announced than there are", entries)
	}
	return m, nil
}

func TestMPTable(t *testing.T) {
	const base = 0x9FC00
	b, err := acpi.MPTable(base, machine(3))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readMP(b, base)
	if err != nil {
		t.Fatal(err)
	}
	want := &mp{
		CPUs: []byte{0, 1, 2}, Boot: 1, Bus: "ISA   ",
		IOAPIC: acpi.IOAPIC{ID: 7, Addr: 0xFEC0_0000},
		IRQs:   []byte{0, 1, 2, 3, 4, 5, 6, 7}, NMI: true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestMPTableHasRoom(t *testing.T) {
	full := machine(255)
	if _, err := acpi.MPTable(0xF0000, full); err != nil {
		t.Errorf("255 processors at 0xf0000: %v", err)
	}
	c := machine(40)
	c.IOAPIC.Pins = 24
	if b, err := acpi.MPTable(0x9FC00, c); err != nil || len(b) > 1024 {
		t.Errorf("40 processors in the last KiB: %d bytes, error %v", len(b), err)
	}
	if _, err := acpi.MPTable(0x9FC00, full); !errors.Is(err, acpi.ErrPlace) {
		t.Errorf("255 processors in the last KiB: error %v, want %v", err, acpi.ErrPlace)
	}
}

func TestMPTableLeavesOutLargeIDs(t *testing.T) {
	c := machine(1)
	c.CPUs = append(c.CPUs, acpi.CPU{APICID: 254}, acpi.CPU{APICID: 255}, acpi.CPU{APICID: 256})
	b, err := acpi.MPTable(0xF0000, c)
	if err != nil {
		t.Fatal(err)
	}
	m, err := readMP(b, 0xF0000)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]byte{0, 254}, m.CPUs); d != "" {
		t.Errorf("APIC ids (-want +got):\n%s", d)
	}
	c.CPUs[0].APICID = 300
	if _, err := acpi.MPTable(0xF0000, c); !errors.Is(err, acpi.ErrConfig) {
		t.Errorf("first processor's id is 300: error %v", err)
	}
}

func FuzzMPTable(f *testing.F) {
	f.Add(uint64(0x9FC00), uint16(2), uint32(0), uint8(8))
	f.Add(uint64(0xF0000), uint16(300), uint32(3), uint8(24))
	f.Fuzz(func(t *testing.T, base uint64, cpus uint16, first uint32, pins uint8) {
		c := machine(0)
		for i := range uint32(cpus % 2048) {
			c.CPUs = append(c.CPUs, acpi.CPU{APICID: first + i})
		}
		c.IOAPIC.Pins = int(pins)
		b, err := acpi.MPTable(base, c)
		if err != nil {
			return
		}
		m, err := readMP(b, base)
		if err != nil {
			t.Fatal(err)
		}
		if m.Boot != 1 || len(m.IRQs) != min(16, int(pins)) || !m.NMI {
			t.Errorf("%+v", m)
		}
		for i, id := range m.CPUs {
			if uint32(id) != first+uint32(i) {
				t.Errorf("processor %d has APIC id %d", i, id)
			}
		}
		if want := min(len(c.CPUs), 255-int(first)); len(m.CPUs) != want {
			t.Errorf("%d processors, want %d", len(m.CPUs), want)
		}
	})
}

// TestMPTableHasVirtioInterrupts searches for the pin of each: there is no bound at
// 16.
func TestMPTableHasVirtioInterrupts(t *testing.T) {
	c := machine(1)
	c.COM1.GSI, c.IOAPIC.Pins = 4, 22
	c.Virtio = []acpi.VirtioMMIO{{Addr: 0xFEB00000, Size: 0x1000, GSI: 6}, {Addr: 0xFEB01000, Size: 0x1000, GSI: 21}}
	b, err := acpi.MPTable(0xF0000, c)
	if err != nil {
		t.Fatal(err)
	}
	pins := mpPins(b)
	for _, irq := range []byte{3, 4, 6, 15, 21} {
		if pin, ok := pins[irq]; !ok || pin != irq {
			t.Errorf("interrupt %d has pin %d (%t)", irq, pin, ok)
		}
	}
}

// mpPins are the pins of the interrupts in a table of one processor.
func mpPins(b []byte) map[byte]byte {
	pins := map[byte]byte{}
	for p := b[16+44+20+8+8:]; p[0] == 3; p = p[8:] {
		pins[p[5]] = p[7]
	}
	return pins
}

// TestFirstGSI: the pins are those of the GSIs from there on, and no others.
func TestFirstGSI(t *testing.T) {
	c := machine(1)
	c.Power.GSI, c.COM1.GSI = 3, 4
	c.IOAPIC.First, c.IOAPIC.Pins = 3, 3
	c.Virtio = []acpi.VirtioMMIO{{Addr: 0xFEB00000, Size: 0x1000, GSI: 5}}
	b, err := acpi.MPTable(0xF0000, c)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[byte]byte{3: 0, 4: 1, 5: 2}, mpPins(b)); d != "" {
		t.Errorf("pins by interrupt (-want +got):\n%s", d)
	}
	tables, err := acpi.Build(0xE0000, c)
	if err != nil {
		t.Fatal(err)
	}
	entry := []byte{1, 12, c.IOAPIC.ID, 0, 0, 0, 0xC0, 0xFE, 3, 0, 0, 0} // section 5.2.12.3
	if !bytes.Contains(tables.Bytes, entry) {
		t.Errorf("the MADT has no entry % x", entry)
	}
	for _, gsi := range []uint32{2, 6} {
		c.Virtio[0].GSI = gsi
		if _, err := acpi.Build(0xE0000, c); !errors.Is(err, acpi.ErrConfig) {
			t.Errorf("GSI %d of pins for 3 to 5: error %v", gsi, err)
		}
	}
}
