package vpci

import "fmt"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what the transport's own registers hold (Virtio 1.2, section 4.1.4.3;
// offsets are those of struct virtio_pci_common_cfg). The function's configuration
// space and its MSI-X table are in the pci.State of its bus; the rest,
// config_generation included, is in the instance's virtio.State.
type State struct {
	Version      int
	DeviceSel    uint32   // device_feature_select, offset 0x00
	DriverSel    uint32   // driver_feature_select, offset 0x08
	QueueSel     uint16   // queue_select, offset 0x16
	ConfigVector uint16   // config_msix_vector, offset 0x10: a vector or NoVector
	QueueVectors []uint16 // queue_msix_vector, offset 0x1A, of each queue
	// ISR is the ISR status (section 4.1.4.5): bit 0 used buffers, bit 1 configuration.
	// The other bits are 0.
	ISR uint32
}

// State returns a *State. The instance is paused.
func (t *Transport) State() any {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &State{Version: StateVersion, DeviceSel: t.deviceSel, DriverSel: t.driverSel, QueueSel: t.queueSel,
		ConfigVector: t.config.vector, ISR: t.isr.Load()}
	for i := range t.queues {
		s.QueueVectors = append(s.QueueVectors, t.queues[i].vector)
	}
	return s
}

// SetState takes a *State, after the bus and before the instance, which hands the
// interrupts to the device. It checks the state and leaves the transport as it is
// when it returns an error; if it is the host that has no more interrupts, the
// transport is reset.
func (t *Transport) SetState(v any) error {
	s, ok := v.(*State)
	switch {
	case !ok || s == nil:
		return fmt.Errorf("virtio/vpci: the saved state is a %T, not this transport's", v)
	case s.Version != StateVersion:
		return fmt.Errorf("virtio/vpci: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case len(s.QueueVectors) != len(t.queues):
		return fmt.Errorf("virtio/vpci: the saved state has %d queues, the device %d", len(s.QueueVectors), len(t.queues))
	case s.ISR&^(isrQueue|isrConfig) != 0:
		return fmt.Errorf("virtio/vpci: the saved ISR is %#x; only bits %#x can be set", s.ISR, isrQueue|isrConfig)
	case !t.hasVector(s.ConfigVector):
		return fmt.Errorf("virtio/vpci: the saved ConfigVector is %d; the function has %d vectors", s.ConfigVector, t.msix.Len())
	}
	for i, vector := range s.QueueVectors {
		if !t.hasVector(vector) {
			return fmt.Errorf("virtio/vpci: the saved vector of queue %d is %d; the function has %d", i, vector, t.msix.Len())
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.restore(s); err != nil {
		t.clear()
		return fmt.Errorf("virtio/vpci: %w", err)
	}
	return nil
}

// hasVector reports whether a driver can have assigned v.
func (t *Transport) hasVector(v uint16) bool { return v == NoVector || int(v) < t.msix.Len() }

// restore takes a state that was checked; mu is held.
func (t *Transport) restore(s *State) error {
	t.regs = regs{s.DeviceSel, s.DriverSel, s.QueueSel}
	if err := t.config.assign(s.ConfigVector); err != nil {
		return err
	}
	for i, v := range s.QueueVectors {
		if err := t.queues[i].assign(v); err != nil {
			return err
		}
	}
	t.isr.Store(s.ISR)
	return nil
}
