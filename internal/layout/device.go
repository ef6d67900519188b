package layout

import (
	"fmt"
	"strings"

	"github.com/mayfly-vm/mayfly/internal/kernelparams"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/internal/transport/mmio"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
)

// PlannedDevice is where a guest finds a virtio device.
type PlannedDevice struct {
	Name string
	Type virtio.Type
	Addr uint64 // BusMMIO: guest-physical address of the registers
	GSI  int    // BusMMIO: its interrupt
	Slot int    // BusPCI: device number on bus 0
}

// PCIWindows are the guest-physical ranges that the PCI bus passes on. Where RAM
// leaves no room for a high window in what every host can address, its size is 0.
func (p *Plan) PCIWindows() (low, high memory.Range) {
	low = memory.Range{Addr: PCILowAddr, Size: PCILowSize}
	base := (p.EndOfRAM() + PCIHighSize - 1) &^ (PCIHighSize - 1)
	if base+PCIHighSize <= 1<<LeastWidth {
		high = memory.Range{Addr: memory.Addr(base), Size: PCIHighSize}
	}
	return low, high
}

// Pin is the pin of the I/O APIC for a global system interrupt.
func (p *Plan) Pin(gsi int) int { return gsi - p.FirstGSI }

// Pins is how many pins the I/O APIC has: as few as possible for Linux, which reads and writes
// each at its start, and as many as kernels expect for others.
func (p *Plan) Pins() int {
	last := GSISerial
	if p.Platform == PlatformGeneric {
		last = genericPins - 1
	}
	for _, d := range p.Devices {
		last = max(last, d.GSI)
	}
	return p.Pin(last) + 1
}

// placeDevices gives each device its place on the bus.
func (p *Plan) placeDevices(r *Request) error {
	most := MMIOMost
	if r.Bus == BusPCI {
		most = pci.Slots - 1
	}
	if len(r.Devices) > most {
		return &ConfigError{Field: "Bus", Msg: fmt.Sprintf("%d virtio devices: at most %d have a place there", len(r.Devices), most)}
	}
	// Kernels that don't read ACPI, or not all of it, take the pins' numbers for the
	// interrupts'.
	bare := withoutACPI(p.Cmdline)
	if !bare && p.Platform == PlatformLinux {
		p.FirstGSI = GSIPower
	}
	for i, d := range r.Devices {
		at := PlannedDevice{Name: d.Name, Type: d.Type}
		if r.Bus == BusPCI {
			at.Slot = i + 1 // 0 is the host bridge
		} else {
			at.Addr, at.GSI = MMIOAddr+uint64(i)*MMIOStride, GSIVirtio+i
		}
		p.Devices = append(p.Devices, at)
	}
	if bare && r.Bus != BusPCI {
		p.announce()
	}
	return nil
}

// announce adds parameters that name the devices, for a guest that does not read
// ACPI.
func (p *Plan) announce() {
	params := make([]string, 0, len(p.Devices))
	for _, d := range p.Devices {
		params = append(params, fmt.Sprintf("virtio_mmio.device=%d@%#x:%d", mmio.Size, d.Addr, d.GSI))
	}
	p.Cmdline = kernelparams.Join(p.Cmdline, strings.Join(params, " "))
}
