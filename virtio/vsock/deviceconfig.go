package vsock

import "github.com/mayfly-vm/mayfly/virtio"

var (
	_ virtio.DeviceConfig = Config{}
	_ virtio.PackedOpener = Config{}
	_ virtio.StatsDevice  = (*Device)(nil)
)

// name is the device's in errors.
const name = "vsock"

// DeviceName is "vsock".
func (c Config) DeviceName() string { return name }

// DeviceType is virtio.TypeVsock.
func (c Config) DeviceType() virtio.Type { return virtio.TypeVsock }

// Open is New. The device has nothing to report.
func (c Config) Open(func(error)) (virtio.Device, error) {
	d, err := New(c)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// OpenPacked is Open, and an error with VHost.
func (c Config) OpenPacked(report func(error)) (virtio.Device, error) {
	c.Packed = true
	return c.Open(report)
}

// DeviceStats is Stats.
func (d *Device) DeviceStats() any { return d.Stats() }
