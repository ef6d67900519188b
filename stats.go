package mayfly

import (
	"time"

	"github.com/mayfly-vm/mayfly/internal/machine"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Stats are counters of a machine since its first start, over its restarts. As JSON,
// names are in snake_case.
type Stats struct {
	State    State         `json:"state"`
	Uptime   time.Duration `json:"uptime_ns"` // since the call of Start, until the end
	Restarts int           `json:"restarts"`
	// Exits is how often vCPUs left the guest, by the kind of exit: "mmio write", "halt" …
	Exits map[string]uint64 `json:"exits"`
	// Instructions is how many the software processor has executed, on all vCPUs; 0 on KVM.
	Instructions uint64 `json:"instructions,omitempty"`
	// Unimplemented is how often the guest has executed instructions that real processors have and the software
	// processor has not, by encoding and name: "0F 01 D0 (XGETBV)". Each was an invalid-opcode exception.
	Unimplemented map[string]uint64 `json:"unimplemented,omitempty"`
	Devices       []DeviceStats     `json:"devices"`
	// Confinement is what was taken from the process: "landlock 7", "no capabilities",
	// "seccomp"; empty before the start, and without Config.Confinement.
	Confinement []string `json:"confinement"`
}

// DeviceStats are the counters of one device.
type DeviceStats struct {
	Name string `json:"name"` // as in Plan.Devices
	Type string `json:"type"` // "blk", "net" …; "virtio" for a type that package virtio does not name
	// Stats is the Stats of the device's package, such as blk.Stats, or what a device of
	// the program's own returns as a virtio.StatsDevice; nil where a device has none.
	Stats any `json:"stats"`
}

// Stats counts. After Close it is that of the end, without devices.
func (vm *VM) Stats() Stats {
	m := vm.machine.Stats()
	s := Stats{State: State(m.State), Uptime: m.Uptime, Restarts: m.Restarts, Exits: m.Exits, Instructions: m.Instructions, Unimplemented: m.Unimplemented, Devices: []DeviceStats{}, Confinement: vm.confined()}
	for i := range vm.plan.Devices {
		err := vm.machine.Device(i, func(d machine.Device) error {
			count := DeviceStats{Name: d.Name, Type: d.Device.Type().String()}
			if c, ok := d.Device.(virtio.StatsDevice); ok {
				count.Stats = c.DeviceStats()
			}
			s.Devices = append(s.Devices, count)
			return nil
		})
		if err != nil { // closed meanwhile
			s.State, s.Devices = vm.State(), []DeviceStats{}
			break
		}
	}
	return s
}
