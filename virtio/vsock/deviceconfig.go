package vsock

import "github.com/mayfly-vm/mayfly/virtio"

var (
	_ virtio.DeviceConfig = Config{}
	_ virtio.Discarder    = Config{}
	_ virtio.PackedConfig = Config{}
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

// ForPacked is the configuration of a device whose driver may use packed virtqueues,
// which is an error with VHost.
func (c Config) ForPacked() virtio.DeviceConfig {
	c.packed = true
	return c
}

// Discard closes the Listener.
func (c Config) Discard() {
	if c.Listener != nil {
		_ = c.Listener.Close()
	}
}

// DeviceStats is Stats.
func (d *Device) DeviceStats() any { return d.Stats() }
