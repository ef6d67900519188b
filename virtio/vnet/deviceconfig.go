package vnet

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

var (
	_ virtio.DeviceConfig = Config{}
	_ virtio.Conflicter   = Config{}
	_ virtio.Discarder    = Config{}
	_ virtio.Numberer     = Config{}
	_ virtio.PackedConfig = Config{}
	_ virtio.LinkDevice   = (*Device)(nil)
	_ virtio.ReadyDevice  = (*Device)(nil)
	_ virtio.StatsDevice  = (*Device)(nil)
)

// DeviceName is "net" and the Name.
func (c Config) DeviceName() string {
	if c.Name == "" {
		return "net"
	}
	return "net " + c.Name
}

// DeviceType is virtio.TypeNet.
func (c Config) DeviceType() virtio.Type { return virtio.TypeNet }

// Numbered makes n the Name of a card without one.
func (c Config) Numbered(n int) virtio.DeviceConfig {
	if c.Name == "" {
		c.Name = strconv.Itoa(n)
	}
	return c
}

// Conflicts is an error where other is a card that forwards the same port of the host.
func (c Config) Conflicts(other virtio.DeviceConfig) error {
	o, ok := virtio.As[Config](other)
	if !ok {
		return nil
	}
	return conflict(&c, &o)
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

// ForPacked is the configuration of a card whose driver may use packed virtqueues: the
// host's kernel then moves no frames, and VHostOn is an error.
func (c Config) ForPacked() virtio.DeviceConfig {
	c.packed = true
	return c
}

// Discard closes the FDs.
func (c Config) Discard() {
	for i, fd := range c.FDs {
		if !slices.Contains(c.FDs[:i], fd) { // given twice it is another's after the first time
			_ = unix.Close(fd)
		}
	}
}

// DeviceStats is Stats.
func (d *Device) DeviceStats() any { return d.Stats() }
