package flags

import "github.com/mayfly-vm/mayfly/virtio"

// Ring is the layout of a device's virtqueues.
type Ring string

// Layouts.
const (
	RingSplit  Ring = "split" // the default
	RingPacked Ring = "packed"
)

// Device is a device's configuration, and the layout of its virtqueues.
type Device[C virtio.DeviceConfig] struct {
	Config C
	Ring   Ring
}

func (d Device[C]) config() virtio.DeviceConfig {
	if d.Ring == RingPacked {
		return virtio.Packed{DeviceConfig: d.Config}
	}
	return d.Config
}

// check is an error without the device's name, which the flag says.
func (d *Device[C]) check() error {
	return reason(virtio.CheckConfigs([]virtio.DeviceConfig{d.config()}))
}
