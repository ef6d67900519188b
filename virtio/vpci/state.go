package vpci

import "fmt"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is the transport's own registers. The bus has the function's
// configuration space and its MSI-X table, the instance has the rest.
type State struct {
	Version              int
	DeviceSel, DriverSel uint32
	QueueSel             uint16
	ConfigVector         uint16
	QueueVectors         []uint16
	ISR                  uint32
}

// State is to be called while the instance is paused.
func (t *Transport) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := State{Version: StateVersion, DeviceSel: t.deviceSel, DriverSel: t.driverSel, QueueSel: t.queueSel,
		ConfigVector: t.config.vector, ISR: t.isr.Load()}
	for i := range t.queues {
		s.QueueVectors = append(s.QueueVectors, t.queues[i].vector)
	}
	return s
}

// SetState takes a saved state, after the bus and before the instance, which
// hands the interrupts to the device.
func (t *Transport) SetState(s State) error {
	switch {
	case s.Version != StateVersion:
		return fmt.Errorf("virtio/vpci: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case len(s.QueueVectors) != len(t.queues):
		return fmt.Errorf("virtio/vpci: the saved state has %d queues, the device %d", len(s.QueueVectors), len(t.queues))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.regs = regs{s.DeviceSel, s.DriverSel, s.QueueSel}
	t.config.assign(s.ConfigVector)
	for i, v := range s.QueueVectors {
		t.queues[i].assign(v)
	}
	t.isr.Store(s.ISR & (isrQueue | isrConfig))
	return nil
}
