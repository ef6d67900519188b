package virtio

// Opened is the DeviceConfig of a device that is made already, under a name for people.
type Opened struct {
	Name   string
	Device Device
}

// DeviceName is the name.
func (o Opened) DeviceName() string { return o.Name }

// DeviceType is the device's type.
func (o Opened) DeviceType() Type { return o.Device.Type() }

// Open returns the device.
func (o Opened) Open(func(error)) (Device, error) { return o.Device, nil }

// Discard closes the device.
func (o Opened) Discard() { _ = o.Device.Close() }

// Check is an error where there is no device.
func (o Opened) Check() error {
	if o.Device == nil {
		return DeviceErrorf(o.Name, "there is no device: it is nil")
	}
	return nil
}

// Discarder is a DeviceConfig that holds something open, such as a descriptor.
type Discarder interface {
	// Discard closes that. It is called in place of Open.
	Discard()
}

// Discard gives back what configurations hold open that are not to be used.
func Discard(configs []DeviceConfig) {
	for _, c := range configs {
		if o, ok := As[Opened](c); ok && o.Device == nil {
			continue
		}
		if d, ok := As[Discarder](c); ok {
			d.Discard()
		}
	}
}
