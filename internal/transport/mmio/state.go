package mmio

import "fmt"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what the transport's own registers hold (Virtio 1.2, section 4.2.2). The
// rest, ConfigGeneration included, is in the instance's virtio.State.
type State struct {
	Version   int
	DeviceSel uint32 // DeviceFeaturesSel, offset 0x014
	DriverSel uint32 // DriverFeaturesSel, offset 0x024
	QueueSel  uint32 // offset 0x030
	// Interrupt is InterruptStatus, offset 0x060: bit 0 used buffers, bit 1
	// configuration. The other bits are 0.
	Interrupt uint32
	// ConfigUnreported: the configuration space has changed, and the driver, which was
	// not ready, is to be interrupted for it once it is.
	ConfigUnreported bool
	// Config is the device's configuration space as the driver last can have read it,
	// offset 0x100: 256 bytes.
	Config []byte
}

// State returns a *State. The instance is paused.
func (t *Transport) State() any {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &State{StateVersion, t.deviceSel, t.driverSel, t.queueSel, t.irq.status.Load(), t.unreported, make([]byte, Size-config)}
	if !t.panel.readConfig(s.Config) {
		t.in.ReadConfig(0, s.Config)
	}
	return s
}

// SetState takes a *State, checks it and leaves the transport as it is when it
// returns an error. It is called after the I/O APIC and the local APICs are
// restored, and before the instance is. The interrupt is raised again if the driver
// has not acknowledged it: it may have been on its way. With a Config.Panel the
// driver is notified if its device's configuration space is another now.
func (t *Transport) SetState(v any) error {
	s, ok := v.(*State)
	switch {
	case !ok || s == nil:
		return fmt.Errorf("virtio/mmio: the saved state is a %T, not this transport's", v)
	case s.Version != StateVersion:
		return fmt.Errorf("virtio/mmio: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case s.Interrupt&^(statusUsed|statusConfig) != 0:
		return fmt.Errorf("virtio/mmio: the saved Interrupt is %#x; only bits %#x can be set", s.Interrupt, statusUsed|statusConfig)
	case len(s.Config) != Size-config:
		return fmt.Errorf("virtio/mmio: the saved Config has %d bytes, expected %d", len(s.Config), Size-config)
	}
	t.mu.Lock()
	t.regs = regs{deviceSel: s.DeviceSel, driverSel: s.DriverSel, queueSel: s.QueueSel, unreported: s.ConfigUnreported}
	t.show()
	t.panel.setConfig(s.Config) // what differs from it is a change: see Refresh
	t.mu.Unlock()
	t.irq.restore(s.Interrupt)
	return nil
}
