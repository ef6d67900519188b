package boot

import (
	"github.com/mayfly-vm/mayfly/acpi"
	"github.com/mayfly-vm/mayfly/internal/device/wdat"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/transport/mmio"
)

// acpiConfig is the machine as ACPI describes it.
func acpiConfig(p *layout.Plan, m *Machine) acpi.Config {
	c := acpi.Config{
		IOAPIC:  acpi.IOAPIC{Addr: layout.IOAPICAddr, First: uint32(p.FirstGSI), Pins: p.Pins()},
		COM1:    acpi.Serial{Port: layout.PortSerial, GSI: layout.GSISerial},
		Power:   acpi.Power{Port: layout.PortPower, GSI: layout.GSIPower},
		PVPanic: layout.PortPVPanic,
		VMGenID: layout.VMGenIDAddr,
	}
	if m.Watchdog {
		c.Watchdog = acpi.Watchdog{Port: layout.PortWatchdog, Period: uint32(wdat.Period.Milliseconds()), Min: wdat.MinCount, Max: wdat.MaxCount}
	}
	if p.Bus == layout.BusPCI {
		low, high := p.PCIWindows()
		c.PCI = &acpi.PCI{ECAM: layout.ECAMAddr, Ports: true, Low: low, High: high}
	}
	for _, d := range p.Devices {
		if d.Addr != 0 {
			c.Virtio = append(c.Virtio, acpi.VirtioMMIO{Addr: uint32(d.Addr), Size: mmio.Size, GSI: uint32(d.GSI)})
		}
	}
	for i := range m.CPUs {
		c.CPUs = append(c.CPUs, acpi.CPU{APICID: uint32(i)})
	}
	return c
}
