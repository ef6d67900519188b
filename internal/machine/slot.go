package machine

import (
	"fmt"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/layout"

	"github.com/mayfly-vm/mayfly/internal/transport/mmio"
	"github.com/mayfly-vm/mayfly/internal/transport/vpci"
	"github.com/mayfly-vm/mayfly/virtio"
)

// virtioSlot is a virtio device's place in the hardware of one start: the device itself
// stays for the next one.
type virtioSlot struct {
	instance *virtio.Instance
	message  bus.Message     // layout.BusMMIO
	function *vpci.Transport // layout.BusPCI
}

// addVirtio gives each device its transport.
func (h *hardware) addVirtio() error {
	pci := h.spec.Plan.Bus == layout.BusPCI
	if !pci {
		h.registers = h.showRegisters(len(h.spec.Devices))
	}
	for i, d := range h.spec.Devices {
		s := &virtioSlot{instance: virtio.New(d.Device, virtio.Options{
			Memory: h.mem,
			Packed: d.Packed,
			Report: h.spec.Reports.For(d.Name),
		})}
		h.slots = append(h.slots, s)
		put := h.overMMIO
		if pci {
			put = h.overPCI
		}
		if err := put(s, h.spec.Plan.Devices[i]); err != nil {
			return virtio.Named(d.Name, err)
		}
	}
	return nil
}

func (h *hardware) overMMIO(s *virtioSlot, at layout.PlannedDevice) (err error) {
	if s.message, err = h.machine.NewMessage(); err != nil {
		return err
	}
	var registers []byte
	if h.registers != nil {
		registers = h.registers[at.Addr-layout.MMIOAddr:][:mmio.Size:mmio.Size]
	}
	t, err := mmio.New(s.instance, mmio.Config{Fabric: h.machine, Addr: at.Addr, GSI: uint32(at.GSI), Interrupt: s.message, Panel: registers})
	if err != nil {
		return err
	}
	h.ioapic.Attach(h.spec.Plan.Pin(at.GSI), s.message, func(err error) { h.end(*failure(fmt.Errorf("interrupt %d: %w", at.GSI, err))) })
	return h.mmio.Add(at.Name, at.Addr, mmio.Size, t)
}

// showRegisters makes the memory that the registers of n devices are read from; nil
// where the host can't show any. It is whole pages of Go's heap, and so stays as
// long as a device that learns of a change late.
func (h *hardware) showRegisters(n int) []byte {
	const page = 4096
	if n == 0 {
		return nil
	}
	size := (n*layout.MMIOStride + page - 1) &^ (page - 1)
	mem := make([]byte, size+page-1)
	mem = mem[-uintptr(unsafe.Pointer(&mem[0]))%page:][:size:size]
	if !h.machine.Show(layout.MMIOAddr, mem) {
		return nil
	}
	return mem
}

func (h *hardware) overPCI(s *virtioSlot, at layout.PlannedDevice) (err error) {
	if s.function, err = vpci.New(s.instance, h.machine); err != nil {
		return err
	}
	_, err = h.pci.Add(at.Slot, s.function)
	return err
}

// queueWork changes when a driver has given a device work, for which there is no
// exit where an ioeventfd takes the kick.
func (h *hardware) queueWork() (n uint64) {
	for _, s := range h.slots {
		n += s.instance.Work()
	}
	return n
}

// closeSlots stops the devices' work. No vCPU runs any more.
func (h *hardware) closeSlots() {
	for _, s := range h.slots {
		s.instance.Close()
		if s.message != nil {
			_ = s.message.Close()
		}
		if s.function != nil {
			_ = s.function.Close()
		}
	}

}

// settled tells whether all devices have answered what their drivers have asked for.
func (h *hardware) settled() bool {
	for _, s := range h.slots {
		if !s.instance.Settled() {
			return false
		}
	}
	return true
}
