package machine

import (
	"errors"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/i8042"
	"github.com/mayfly-vm/mayfly/internal/device/ioapic"
	"github.com/mayfly-vm/mayfly/internal/device/power"
	"github.com/mayfly-vm/mayfly/internal/device/pvpanic"
	"github.com/mayfly-vm/mayfly/internal/device/serial"
	"github.com/mayfly-vm/mayfly/internal/device/vmgenid"
	"github.com/mayfly-vm/mayfly/internal/device/wdat"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/pci"
)

// addDevices makes all devices and gives them their places on the buses.
func (h *hardware) addDevices(port *serialPort, expired bool) error {
	h.ioapic = ioapic.New(h.spec.Plan.Pins(), h.machine)
	h.ioapic.OnRoutes(h.routeLevel)
	for _, c := range h.vcpus.list {
		c.ioapic = h.ioapic
	}
	h.power = power.New(power.Config{
		Line:     h.pin(layout.GSIPower),
		PowerOff: func() { h.endAs(PowerOff, "") },
		Reset:    h.reset,
		Mark:     h.spec.Timeline.GuestCode,
	})
	if _, err := vmgenid.New(vmgenid.Config{Memory: h.mem, Addr: layout.VMGenIDAddr, Notify: h.power.Renewed, Repeatable: h.spec.Counted}); err != nil {
		return err
	}
	for _, d := range []struct {
		bus        *bus.Bus
		name       string
		base, size uint64
		h          bus.Handler
	}{
		{&h.ports, "serial", layout.PortSerial, serial.Size, port.connect(&h.signs, h.pin(layout.GSISerial))},
		{&h.ports, "i8042", layout.PortI8042, 1, i8042.New(h.reset)},
		{&h.ports, "power", layout.PortPower, power.Size, h.power},
		{&h.ports, "pvpanic", layout.PortPVPanic, pvpanic.Size, pvpanic.New(pvpanic.Config{OnEvent: h.guestEvent})},
		{&h.mmio, "ioapic", layout.IOAPICAddr, layout.IOAPICSize, h.ioapic},
	} {
		if err := d.bus.Add(d.name, d.base, d.size, d.h); err != nil {
			return err
		}
	}
	if err := h.addDefects(); err != nil {
		return err
	}
	if err := h.addWatchdog(expired); err != nil {
		return err
	}
	if err := h.addPCI(); err != nil {
		return err
	}
	return h.addVirtio()
}

// reset is what the guest asks for by the reset register.
func (h *hardware) reset() { h.endAs(Rebooted, "") }

// guestEvent takes pvpanic's events, which as the console's text may be a process's doing.
func (h *hardware) guestEvent(e pvpanic.Event) {
	if e&pvpanic.Panicked != 0 {
		h.signs.sayPanic()
	}
}

func (h *hardware) addWatchdog(expired bool) error {
	if h.spec.Watchdog == NoWatchdog {
		return nil
	}
	h.watchdog = wdat.New(wdat.Config{OnExpire: h.watchdogExpired, Expired: expired})
	return h.ports.Add("watchdog", layout.PortWatchdog, wdat.Size, h.watchdog)
}

// watchdogExpired ends the run, by a reset that the next start's guest can read of where
// that is asked for.
func (h *hardware) watchdogExpired() {
	const silent = "the guest started its watchdog and then was silent"
	if h.spec.Watchdog == WatchdogExit {
		h.endAs(Hung, silent)
		return
	}
	h.spec.Reports.Report("watchdog", errors.New(silent+"; the machine is reset"))
	h.endOnce.Do(func() {
		h.expired = true
		h.finish(ending{Outcome: Outcome{Reason: Rebooted, Detail: "by the watchdog"}})
	})
}

// addPCI makes the host bridge. A machine without devices on it has a bridge too,
// if not one that ACPI describes: Linux tries whether ports 0xCF8 and 0xCFC
// answer, and where nothing does it says so, at the cost of 120 exits.
func (h *hardware) addPCI() (err error) {
	low, high := h.spec.Plan.PCIWindows()
	if h.pci, err = pci.NewHost(pci.Config{MMIO: &h.mmio, ECAM: layout.ECAMAddr, Low: low, High: high}); err != nil {
		return err
	}
	if err := h.ports.Add("PCI configuration", pci.Ports, pci.PortsSize, h.pci.IO()); err != nil {
		return err
	}
	if h.spec.Plan.Bus != layout.BusPCI {
		return nil
	}
	return h.mmio.Add("PCI configuration", layout.ECAMAddr, layout.ECAMSize, h.pci.ECAM())
}
