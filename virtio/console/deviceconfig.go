package console

import "github.com/mayfly-vm/mayfly/virtio"

var (
	_ virtio.DeviceConfig   = Config{}
	_ virtio.ConsoleConfig  = Config{}
	_ virtio.Discarder      = Config{}
	_ virtio.OutputDevice   = (*Device)(nil)
	_ virtio.TerminalDevice = (*Device)(nil)
	_ virtio.StatsDevice    = (*Device)(nil)
)

// name is the device's in errors.
const name = "console"

// DeviceName is "console".
func (c Config) DeviceName() string { return name }

// DeviceType is virtio.TypeConsole.
func (c Config) DeviceType() virtio.Type { return virtio.TypeConsole }

// HVCs is the number of ports that are a Console.
func (c Config) HVCs() (n int) {
	for i := range c.Ports {
		if c.Ports[i].Console {
			n++
		}
	}
	return n
}

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

// Discard closes the ports' Listeners.
func (c Config) Discard() {
	for i := range c.Ports {
		if l := c.Ports[i].Listener; l != nil {
			_ = l.Close()
		}
	}
}

// DeviceStats is Stats.
func (d *Device) DeviceStats() any { return d.Stats() }
