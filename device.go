package mayfly

import (
	"errors"
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/machine"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// DeviceConfig is a virtio device of a Config: a blk.Config, vnet.Config, vsock.Config,
// console.Config or rng.Config of the packages under virtio, or one of a program's own,
// such as a virtio.Opened. virtio.DeviceConfig describes its methods.
type DeviceConfig = virtio.DeviceConfig

// Packed wraps the configuration of a device, its only field DeviceConfig, and offers
// packed virtqueues to the driver; one that does not know them gets split ones.
type Packed = virtio.Packed

// DeviceError is an error of one device: Device is its name, as in Plan.Devices, and Err
// the cause, to which it unwraps. errors.As finds a *DeviceError.
type DeviceError = virtio.DeviceError

// ErrNoDevice is the error of a call that names a device that the machine does not have. A
// device that has no such function gives a *DeviceError with errors.ErrUnsupported.
var ErrNoDevice = machine.ErrNoDevice

// request is what of the configuration decides where things lie.
func (c *Config) request() *layout.Request {
	r := &layout.Request{
		Cmdline: c.Cmdline, Boot: c.Boot, Load: c.Load, Platform: c.Platform, Bus: c.Bus,
		Memory: c.Memory, HugePages: c.HugePages, Prealloc: c.Prealloc,
	}
	for _, d := range c.Devices {
		r.Devices = append(r.Devices, layout.Device{Name: d.DeviceName(), Type: d.DeviceType()})
		if console, ok := virtio.As[virtio.ConsoleConfig](d); ok {
			r.HVCs += console.HVCs()
		}
	}
	return r
}

// openDevices opens what the devices need of the host: files, taps, sockets. Those that
// it does not come to are discarded.
func openDevices(s *machine.Spec, list []DeviceConfig) error {
	for i, d := range list {
		_, packed := virtio.As[Packed](d)
		opened, err := d.Open(s.Reports.For(d.DeviceName()))
		if err == nil && opened == nil {
			err = errors.New("its Open has returned neither a device nor an error")
		}
		if err != nil {
			virtio.Discard(list[i+1:])
			return virtio.Named(d.DeviceName(), err)
		}
		if counted, ok := opened.(virtio.Counted); ok && s.Counted {
			counted.Repeat()
		}
		s.Devices = append(s.Devices, machine.Device{Name: d.DeviceName(), Device: opened, Packed: packed})
	}
	return nil
}

// onDevice calls do with a device of that name that is a T. The machine's Close waits for
// it, for some time.
func onDevice[T any](vm *VM, name string, do func(T) error) error {
	for i, d := range vm.plan.Devices {
		if d.Name != name {
			continue
		}
		return vm.machine.Device(i, func(d machine.Device) error {
			t, ok := d.Device.(T)
			if !ok {
				return &DeviceError{Device: name, Err: errors.ErrUnsupported}
			}
			return virtio.Named(name, do(t))
		})
	}
	return fmt.Errorf("%w: %q", ErrNoDevice, name)
}

// SetDiskLimits replaces the limits of a disk, or of another device that is held to
// some, while the machine runs. Devices are named as in Plan.Devices: "disk root.img".
func (vm *VM) SetDiskLimits(device string, limits ratelimit.Config) error {
	return onDevice(vm, device, func(d virtio.LimitedDevice) error { return d.SetLimits(limits) })
}

// ChangeDisk replaces a disk's medium by that of another configuration, a blk.Config,
// and notifies the guest. An error changes nothing. What the configuration holds open
// is taken over, also where there is an error.
func (vm *VM) ChangeDisk(device string, medium DeviceConfig) error {
	taken := false
	err := onDevice(vm, device, func(d virtio.MediumDevice) error {
		taken = true
		return d.Change(medium)
	})
	if !taken {
		virtio.Discard([]DeviceConfig{medium})
	}
	return err
}

// RefreshDisk reads a disk's size again, after its file has grown or shrunk, and notifies
// the guest.
func (vm *VM) RefreshDisk(device string) error {
	return onDevice(vm, device, func(d virtio.MediumDevice) error { return d.Refresh() })
}

// SetLink takes the link of a network card down, or up again. Before Start it sets the
// state that the guest finds.
func (vm *VM) SetLink(device string, up bool) error {
	return onDevice(vm, device, func(d virtio.LinkDevice) error { d.SetLink(up); return nil })
}

// ResizeConsole announces the size of the window of a console's port to the guest.
func (vm *VM) ResizeConsole(device string, port int, cols, rows uint16) error {
	return onDevice(vm, device, func(d virtio.TerminalDevice) error { return d.Resize(port, cols, rows) })
}
