package virtio

import (
	"errors"
	"fmt"
	"strings"
)

// DeviceError is what is wrong with a device, or went wrong in it. Check, New and
// Open of the devices' packages return it, and their reports are of it.
type DeviceError struct {
	Device string // DeviceConfig.DeviceName
	Err    error
}

// Error is the device's name, unless Err begins with it, and what is wrong.
func (e *DeviceError) Error() string {
	if e.Err == nil {
		return e.Device + ": failed"
	}
	text, prefix := e.Err.Error(), e.Device+": "
	if strings.HasPrefix(text, prefix) {
		return text
	}
	return prefix + text
}

// Unwrap is what is wrong.
func (e *DeviceError) Unwrap() error { return e.Err }

// DeviceErrorf is a DeviceError whose Err is made as by fmt.Errorf.
func DeviceErrorf(device, format string, args ...any) error {
	return &DeviceError{Device: device, Err: fmt.Errorf(format, args...)}
}

// Named is err as a DeviceError: itself, where it is one or wraps one, else with
// that name. nil stays nil.
func Named(device string, err error) error {
	if err == nil || errors.As(err, new(*DeviceError)) {
		return err
	}
	return &DeviceError{Device: device, Err: err}
}
