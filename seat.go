package mayfly

import (
	"fmt"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/internal/transport/mmio"
	"github.com/mayfly-vm/mayfly/internal/transport/vpci"
	"github.com/mayfly-vm/mayfly/virtio"
)

// seat is a virtio device on a board: what goes when the board does, while the
// device itself stays for the next one.
type seat struct {
	instance *virtio.Instance
	message  bus.Message     // BusMMIO
	function *vpci.Transport // BusPCI
}

// addVirtio gives each device its transport on this board.
func (b *board) addVirtio() error {
	if b.vm.cfg.Bus != BusPCI {
		b.panels = b.showPanels(len(b.vm.devices))
	}
	for i, d := range b.vm.devices {
		at := b.vm.plan.Devices[i]
		s := &seat{instance: virtio.New(d.Device, virtio.Options{
			Memory: b.mem,
			Packed: d.Packed,
			Report: b.vm.cfg.reporter(d.Name),
		})}
		b.seats = append(b.seats, s)
		put := b.overMMIO
		if b.vm.cfg.Bus == BusPCI {
			put = b.overPCI
		}
		if err := put(s, at); err != nil {
			return named(d.Name, err)
		}
	}
	return nil
}

func (b *board) overMMIO(s *seat, at PlannedDevice) (err error) {
	if s.message, err = b.machine.NewMessage(); err != nil {
		return err
	}
	var panel []byte
	if b.panels != nil {
		panel = b.panels[at.Addr-mmioAddr:][:mmio.Size:mmio.Size]
	}
	t, err := mmio.New(s.instance, mmio.Config{Fabric: b.machine, Addr: at.Addr, GSI: uint32(at.GSI), Interrupt: s.message, Panel: panel})
	if err != nil {
		return err
	}
	b.ioapic.Attach(b.vm.plan.pin(at.GSI), s.message, func(err error) { b.fail(fmt.Errorf("interrupt %d: %w", at.GSI, err)) })
	return b.mmio.Add(at.Name, at.Addr, mmio.Size, t)
}

// showPanels makes the memory that the registers of n devices are read from; nil
// where the host can't show any. It is whole pages of Go's heap, and so stays as
// long as a device that is told of a change late.
func (b *board) showPanels(n int) []byte {
	const page = 4096
	if n == 0 {
		return nil
	}
	size := (n*mmioStride + page - 1) &^ (page - 1)
	mem := make([]byte, size+page-1)
	mem = mem[-uintptr(unsafe.Pointer(&mem[0]))%page:][:size:size]
	if !b.machine.Show(mmioAddr, mem) {
		return nil
	}
	return mem
}

func (b *board) overPCI(s *seat, at PlannedDevice) (err error) {
	if s.function, err = vpci.New(s.instance, b.machine); err != nil {
		return err
	}
	_, err = b.pci.Add(at.Slot, s.function)
	return err
}

// addPCI makes the host bridge. A machine without devices on it has a bridge too,
// if not one that ACPI tells of: Linux looks whether ports 0xCF8 and 0xCFC
// answer, and where nothing does it says so, at the cost of 120 exits.
func (b *board) addPCI() (err error) {
	if b.pci, err = pci.NewHost(b.vm.plan.pciConfig(&b.mmio)); err != nil {
		return err
	}
	if err := b.ports.Add("PCI configuration", pci.Ports, pci.PortsSize, b.pci.IO()); err != nil {
		return err
	}
	if b.vm.cfg.Bus != BusPCI {
		return nil
	}
	return b.mmio.Add("PCI configuration", ecamAddr, pci.ECAMSize, b.pci.ECAM())
}

// removeVirtio stops the devices' work. No processor runs any more.
func (b *board) removeVirtio() {
	for _, s := range b.seats {
		s.instance.Close()
		if s.message != nil {
			_ = s.message.Close()
		}
		if s.function != nil {
			_ = s.function.Close()
		}
	}
	b.seats = nil
}
