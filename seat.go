package mayfly

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/bus"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/mmio"
)

// seat is a virtio device on a board: what goes when the board does, while the
// device itself stays for the next one.
type seat struct {
	instance *virtio.Instance
	message  bus.Message // BusMMIO
}

// addVirtio gives each device its transport on this board.
func (b *board) addVirtio() error {
	for i, d := range b.vm.devices {
		at := b.vm.plan.Devices[i]
		s := &seat{instance: virtio.New(d.Device, virtio.Options{
			Memory: b.mem,
			Packed: d.Packed,
			Report: b.vm.cfg.reporter(d.Name),
		})}
		b.seats = append(b.seats, s)
		if err := b.overMMIO(s, at); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	return nil
}

func (b *board) overMMIO(s *seat, at PlannedDevice) (err error) {
	if s.message, err = b.machine.NewMessage(); err != nil {
		return err
	}
	t, err := mmio.New(s.instance, mmio.Config{Fabric: b.machine, Addr: at.Addr, GSI: uint32(at.GSI), Interrupt: s.message})
	if err != nil {
		return err
	}
	b.ioapic.Attach(at.GSI, s.message, func(err error) { b.fail(fmt.Errorf("interrupt %d: %w", at.GSI, err)) })
	return b.mmio.Add(at.Name, at.Addr, mmio.Size, t)
}

// removeVirtio stops the devices' work. No processor runs any more.
func (b *board) removeVirtio() {
	for _, s := range b.seats {
		s.instance.Close()
		if s.message != nil {
			_ = s.message.Close()
		}
	}
	b.seats = nil
}
