package virtio

import "fmt"

// DeviceConfig is a device before it is made. The packages of the devices implement
// it with their Config (blk.Config, vnet.Config …), by value, and so a program links
// only the devices that it names. A program's own devices implement it too.
//
// What else a configuration can do is found by As: Checker, Conflicter,
// ConsoleConfig, Discarder, Numberer, PackedConfig.
type DeviceConfig interface {
	// DeviceName is for people: "disk root.img", "net eth0", "vsock". Errors and
	// reports begin with it.
	DeviceName() string
	DeviceType() Type
	// Open opens what the device needs of the host and makes it. Who calls closes the
	// device. report gets what goes wrong while the device lives, unless the
	// configuration has a Report of its own; nil: nobody does. It must not block. The
	// configuration stays as it is, but for descriptors that it hands over: those
	// belong to the device from the call on, also if it fails.
	Open(report func(error)) (Device, error)
}

// Packed offers packed virtqueues to a device's driver (Options.Packed):
//
//	Devices: []virtio.DeviceConfig{virtio.Packed{DeviceConfig: blk.Config{Path: "root.img"}}}
type Packed struct{ DeviceConfig }

// Open makes the device.
func (p Packed) Open(report func(error)) (Device, error) { return p.config().Open(report) }

// Check is the device's (Checker), and an error where it can't have packed virtqueues.
func (p Packed) Check() error {
	if c, ok := As[Checker](p.config()); ok {
		return c.Check()
	}
	return nil
}

// config is the device's configuration for packed virtqueues.
func (p Packed) config() DeviceConfig {
	if c, ok := p.DeviceConfig.(PackedConfig); ok {
		return c.ForPacked()
	}
	return p.DeviceConfig
}

// Unwrap is the device's configuration.
func (p Packed) Unwrap() DeviceConfig { return p.DeviceConfig }

// As finds the first that is a T, or a pointer to one, among a configuration and those
// that it wraps (Unwrap), as errors.As does for errors:
//
//	if c, ok := virtio.As[virtio.ConsoleConfig](config); ok { hvcs += c.HVCs() }
//	_, packed := virtio.As[virtio.Packed](config)
func As[T any](c DeviceConfig) (T, bool) {
	for c != nil {
		if t, ok := c.(T); ok {
			return t, true
		}
		if t, ok := any(c).(*T); ok && t != nil {
			return *t, true
		}
		w, ok := c.(interface{ Unwrap() DeviceConfig })
		if !ok {
			break
		}
		c = w.Unwrap()
	}
	var none T
	return none, false
}

// PackedConfig is a DeviceConfig whose device differs where its driver may use packed
// virtqueues, or cannot have them: vhost serves split ones alone.
type PackedConfig interface {
	// ForPacked is the configuration of such a device, of the original's type. Its
	// Check is an error where packed virtqueues are impossible.
	ForPacked() DeviceConfig
}

// Conflicter is a DeviceConfig that may exclude another one in the same machine: two
// network cards that listen at the same port of the host. other may be of any type,
// and wrapped.
type Conflicter interface {
	Conflicts(other DeviceConfig) error
}

// ConsoleConfig is the DeviceConfig of consoles.
type ConsoleConfig interface {
	// HVCs is how many hvc consoles a Linux guest finds in the device: with others
	// before it, its first is that which follows theirs.
	HVCs() int
}

// Numberer is a DeviceConfig that needs a name to differ from others of its type: a
// network card's address is made of it.
type Numberer interface {
	// Numbered is the configuration with the number n for a name, or as it is where it
	// has one. It has the type of the original.
	Numbered(n int) DeviceConfig
}

// Checker is a DeviceConfig that can be wrong.
type Checker interface {
	// Check returns what is wrong with the configuration, without asking the host.
	Check() error
}

// CheckConfigs returns what is wrong with the configurations of one machine: one that
// is nil, the error of a Checker, or two that exclude each other (Conflicter).
func CheckConfigs(configs []DeviceConfig) error {
	for i, c := range configs {
		if unwrapped(c) == nil {
			return fmt.Errorf("device %d of %d is nil", i, len(configs))
		}
		if checked, ok := As[Checker](c); ok {
			if err := checked.Check(); err != nil {
				return Named(c.DeviceName(), err)
			}
		}
		for _, before := range configs[:i] {
			if conflicter, ok := As[Conflicter](before); ok {
				if err := conflicter.Conflicts(c); err != nil {
					return Named(c.DeviceName(), err)
				}
			}
		}
	}
	return nil
}

// unwrapped is the innermost configuration.
func unwrapped(c DeviceConfig) DeviceConfig {
	for {
		w, ok := c.(interface{ Unwrap() DeviceConfig })
		if !ok {
			return c
		}
		c = w.Unwrap()
	}
}

// Numbered returns the configurations, where each Numberer without a name has its
// number among those of its DeviceType. The argument, in which no
// configuration is nil, stays as it is.
func Numbered(configs []DeviceConfig) []DeviceConfig {
	list := make([]DeviceConfig, len(configs))
	seen := map[Type]int{}
	for i, c := range configs {
		list[i] = numbered(c, seen[c.DeviceType()])
		seen[c.DeviceType()]++
	}
	return list
}

func numbered(c DeviceConfig, n int) DeviceConfig {
	switch c := c.(type) {
	case Packed:
		return Packed{numbered(c.DeviceConfig, n)}
	case Numberer:
		return c.Numbered(n)
	}
	return c
}
