package mmio

import "fmt"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is the transport's own registers; the instance has the rest.
type State struct {
	Version                        int
	DeviceSel, DriverSel, QueueSel uint32
	Interrupt                      uint32 // InterruptStatus
}

// State is to be called while the instance is paused.
func (t *Transport) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return State{StateVersion, t.deviceSel, t.driverSel, t.queueSel, t.irq.status.Load()}
}

// SetState takes a saved state, before or after the instance does. An interrupt
// of which the driver had not heard is raised again: it may have been on its way.
func (t *Transport) SetState(s State) error {
	if s.Version != StateVersion {
		return fmt.Errorf("virtio/mmio: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	}
	t.mu.Lock()
	t.regs = regs{deviceSel: s.DeviceSel, driverSel: s.DriverSel, queueSel: s.QueueSel}
	t.show()
	t.mu.Unlock()
	if why := s.Interrupt & (statusUsed | statusConfig); why != 0 {
		t.irq.raise(why)
	}
	return nil
}
