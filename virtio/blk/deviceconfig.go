package blk

import "github.com/mayfly-vm/mayfly/virtio"

var (
	_ virtio.DeviceConfig  = Config{}
	_ virtio.Discarder     = Config{}
	_ virtio.MediumDevice  = (*Device)(nil)
	_ virtio.LimitedDevice = (*Device)(nil)
	_ virtio.StatsDevice   = (*Device)(nil)
)

// DeviceName is "disk" and the Path, or else the name of File.
func (c Config) DeviceName() string {
	if c.Path == "" && c.File != nil {
		return "disk " + c.File.Name()
	}
	return "disk " + c.Path
}

// DeviceType is virtio.TypeBlock.
func (c Config) DeviceType() virtio.Type { return virtio.TypeBlock }

// Open is New, where Report is report unless there is one.
func (c Config) Open(report func(error)) (virtio.Device, error) {
	if c.Report == nil {
		c.Report = report
	}
	d, err := New(c)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Discard closes File and Image.
func (c Config) Discard() {
	if c.File != nil {
		_ = c.File.Close()
	}
	if c.Image != nil {
		_ = c.Image.Close()
	}
}

// DeviceStats is Stats.
func (d *Device) DeviceStats() any { return d.Stats() }
