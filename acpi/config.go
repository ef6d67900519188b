package acpi

import (
	"errors"
	"fmt"
	"slices"
)

// LAPICAddr is where processors have their local APICs.
const LAPICAddr = 0xFEE0_0000

// Causes, for errors.Is.
var (
	ErrConfig = errors.New("impossible machine")
	ErrPlace  = errors.New("tables don't fit")
)

// Config is the machine to be described.
type Config struct {
	CPUs   []CPU // the first is the one that boots
	IOAPIC IOAPIC
	COM1   Serial // absent if its Port is 0
	Power  Power
	Virtio []VirtioMMIO // at most 256
	PCI    *PCI         // nil: there is none

	VMGenID  uint64 // address of the 16 bytes; 0: there is none
	PVPanic  uint16 // its port; 0: there is none
	Watchdog Watchdog
}

// CPU is a processor; its ACPI processor UID is its place in Config.CPUs.
type CPU struct{ APICID uint32 }

// IOAPIC is the machine's only I/O APIC; its pins are the GSIs from First on.
type IOAPIC struct {
	ID    uint8
	Addr  uint32
	First uint32
	Pins  int
}

// pin is the pin of a GSI; false: that GSI has none.
func (a *IOAPIC) pin(gsi uint32) (int, bool) {
	if gsi < a.First || gsi-a.First >= uint32(a.Pins) {
		return 0, false
	}
	return int(gsi - a.First), true
}

// Serial is a 16550A with 8 ports and an edge-triggered interrupt.
type Serial struct {
	Port uint16
	GSI  uint32
}

// Power is a block of 4 ports and an edge-triggered interrupt that announces an
// event:
//
//	+0 sleep control, +1 sleep status (section 4.8.3.7)
//	+2 reset: ResetValue is written to it
//	+3 event status; reading clears it: EventPowerButton, EventGeneration
type Power struct {
	Port uint16
	GSI  uint32
}

// Values in the ports of Power.
const (
	SleepTypeS5      = 5 // SLP_TYP of power off; the guest writes it << 2 | 0x20
	ResetValue       = 1
	EventPowerButton = 1 << 0
	EventGeneration  = 1 << 1 // the generation id (Config.VMGenID) has changed
)

const (
	offSleepControl = iota
	offSleepStatus
	offReset
	offEvent
	powerPorts
)

const serialPorts = 8

// device is something that the DSDT describes.
type device interface {
	// aml returns the terms of the device, for the scope \_SB.
	aml() []byte
	// ports returns the first port and their number.
	ports() (first uint16, n int)
	gsi() uint32
}

// devices returns what the machine has, in the order of the DSDT.
func (c *Config) devices() []device {
	var ds []device
	if c.COM1.Port != 0 {
		ds = append(ds, c.COM1)
	}
	ds = append(ds, powerDevice{c.Power, c.VMGenID != 0})
	for i, v := range c.Virtio {
		ds = append(ds, virtioDevice{v, i})
	}
	return ds
}

// comIRQ is the ISA interrupt that PCs have wired to their first serial port.
const comIRQ = 4

// override reports whether COM1 has another pin than the one of its ISA interrupt,
// which guests assume without an override.
func (c *Config) override() (irq int, gsi uint32, moved bool) {
	return comIRQ, c.COM1.GSI, c.COM1.Port != 0 && c.COM1.GSI != comIRQ
}

// check reports what can't be described. Errors match ErrConfig.
func (c *Config) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("acpi: %w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	if len(c.CPUs) == 0 {
		return bad("no processor")
	}
	ids := make([]uint32, 0, len(c.CPUs))
	for _, cpu := range c.CPUs {
		ids = append(ids, cpu.APICID)
	}
	slices.Sort(ids)
	for i, id := range ids {
		if i > 0 && id == ids[i-1] {
			return bad("two processors have APIC id %d", id)
		}
	}
	// 0xFFFFFFFF addresses all processors (Intel SDM volume 3, section 11.12.9).
	if ids[len(ids)-1] == 1<<32-1 {
		return bad("APIC id %#x is the broadcast address", ids[len(ids)-1])
	}
	if c.IOAPIC.Addr == 0 || c.IOAPIC.Pins < 1 || c.IOAPIC.Pins > 240 {
		return bad("I/O APIC at %#x with %d pins, expected an address and 1 to 240 pins", c.IOAPIC.Addr, c.IOAPIC.Pins)
	}
	if c.Power.Port == 0 {
		return bad("power device without ports")
	}
	if len(c.Virtio) > 256 {
		return bad("%d virtio-mmio devices, expected at most 256", len(c.Virtio))
	}
	if err := c.PCI.check(bad); err != nil {
		return err
	}
	if err := c.checkPlain(bad); err != nil {
		return err
	}
	return c.checkDevices(bad)
}

func (c *Config) checkDevices(bad func(string, ...any) error) error {
	ds := c.devices()
	for i, d := range ds {
		port, n := d.ports()
		if int(port)+n > 1<<16 {
			return bad("%d ports from %#x on: there are no more than 65536", n, port)
		}
		if _, ok := c.IOAPIC.pin(d.gsi()); !ok {
			return bad("GSI %d of the device at port %#x: the I/O APIC has %d pins from GSI %d on", d.gsi(), port, c.IOAPIC.Pins, c.IOAPIC.First)
		}
		for _, e := range ds[:i] {
			p, m := e.ports()
			if int(port) < int(p)+m && int(p) < int(port)+n {
				return bad("ports %#x and %#x overlap", p, port)
			}
			if d.gsi() == e.gsi() {
				return bad("two devices have the edge-triggered GSI %d", d.gsi())
			}
		}
	}
	return nil
}
