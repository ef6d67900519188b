package rng

import "github.com/mayfly-vm/mayfly/virtio"

var (
	_ virtio.DeviceConfig  = Config{}
	_ virtio.LimitedDevice = (*Device)(nil)
	_ virtio.StatsDevice   = (*Device)(nil)
	_ virtio.Counted       = (*Device)(nil)
)

// name is the device's in errors.
const name = "rng"

// DeviceName is "rng".
func (c Config) DeviceName() string { return name }

// DeviceType is virtio.TypeEntropy.
func (c Config) DeviceType() virtio.Type { return virtio.TypeEntropy }

// Open is New. The device has nothing to report.
func (c Config) Open(func(error)) (virtio.Device, error) {
	d, err := New(c)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// DeviceStats is Stats.
func (d *Device) DeviceStats() any { return d.Stats() }
