package child

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/machine"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/kvm"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Error is an error of the machine's process: its text, and what a caller asks of it with
// errors.Is and errors.As.
type Error struct {
	Text  string        `json:"text"`
	Is    []string      `json:"is,omitempty"` // names of sentinels
	Errno syscall.Errno `json:"errno,omitempty"`
	// Of a ConfigError or a DeviceError, whose cause is Cause.
	Field  string `json:"field,omitempty"`
	Msg    string `json:"msg,omitempty"`
	Device string `json:"device,omitempty"`
	Cause  *Error `json:"cause,omitempty"`
}

// sentinels are the errors that callers compare with.
var sentinels = map[string]error{
	"closed": machine.ErrClosed, "started": machine.ErrStarted, "not running": machine.ErrNotRunning, "no device": machine.ErrNoDevice,
	"unsupported": errors.ErrUnsupported, "canceled": context.Canceled, "deadline": context.DeadlineExceeded,
	"exist": fs.ErrExist, "not exist": fs.ErrNotExist, "permission": fs.ErrPermission, "KVM": kvm.ErrNotSupported,
	"kernel": kernel.ErrNotKernel, "kernel truncated": kernel.ErrTruncated, "kernel ELF": kernel.ErrBadELF, "kernel note": kernel.ErrBadNote,
	"bzImage": kernel.ErrBadBzImage, "payload": kernel.ErrPayload, "kernel too large": kernel.ErrTooLarge, "no protocol": kernel.ErrNoProtocol,
	"no place": kernel.ErrNoPlace, "kernel unsupported": kernel.ErrUnsupported, "initrd": kernel.ErrNotInitrd, "no unpacker": kernel.ErrNoUnpacker,
	"cache": kernel.ErrCacheDir,
}

// maxText bounds what is taken of another process's texts, in bytes.
const maxText = 8 << 10

// cut is a text, as long as one may be.
func cut(s string) string { return s[:min(len(s), maxText)] }

// Encode describes an error; nil for nil.
func Encode(err error) *Error {
	if err == nil {
		return nil
	}
	e := &Error{Text: err.Error()}
	for name, s := range sentinels {
		if errors.Is(err, s) {
			e.Is = append(e.Is, name)
		}
	}
	_ = errors.As(err, &e.Errno)
	var config *layout.ConfigError
	var device *virtio.DeviceError
	switch {
	case errors.As(err, &config):
		e.Field, e.Msg, e.Cause = config.Field, config.Msg, Encode(config.Err)
	case errors.As(err, &device):
		e.Device, e.Cause = device.Device, Encode(device.Err)
	}
	return e
}

// Decode is the error again; nil for nil.
func (e *Error) Decode() error {
	if e == nil {
		return nil
	}
	r := &remote{text: cut(e.Text)}
	for _, name := range e.Is {
		if s := sentinels[name]; s != nil {
			r.is = append(r.is, s)
		}
	}
	if e.Errno != 0 {
		r.is = append(r.is, e.Errno)
	}
	var typed error
	switch {
	case e.Field != "":
		typed = &layout.ConfigError{Field: cut(e.Field), Msg: cut(e.Msg), Err: e.Cause.Decode()}
	case e.Device != "" && e.Cause != nil:
		typed = &virtio.DeviceError{Device: cut(e.Device), Err: e.Cause.Decode()}
	default:
		return r
	}
	if typed.Error() == e.Text {
		return typed
	}
	r.is = append(r.is, typed)
	return r
}

// remote is an error of another process.
type remote struct {
	text string
	is   []error
}

func (r *remote) Error() string   { return r.text }
func (r *remote) Unwrap() []error { return r.is }
