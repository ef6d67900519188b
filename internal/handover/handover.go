// Package handover is how a device's configuration comes to another process that opens the
// device: as JSON, beside descriptors.
package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
)

// Record is a device's configuration on its way.
type Record struct {
	Kind   string          `json:"kind"`             // names the device's package: "blk"
	Packed bool            `json:"packed,omitempty"` // it is wrapped in a virtio.Packed
	Config json.RawMessage `json:"config"`
	Files  int             `json:"files,omitempty"` // how many descriptors belong to it
	FDs    []int           `json:"-"`
}

// Config is implemented by configurations that can be handed over.
type Config interface {
	// Handover fills a Record. Its descriptors stay the configuration's. The error names
	// a field that can't leave its process.
	Handover(r *Record) error
}

// Medium is implemented by configurations of disks that are opened by who hands them over.
type Medium interface {
	// HandoverMedium opens the medium and fills a Record; the descriptors are closed by
	// release.
	HandoverMedium(r *Record) (release func(), err error)
}

// ErrStays is wrapped by errors about values that can't be handed over.
var ErrStays = errors.New("cannot be handed over to another process")

// Set makes config, which JSON must give back as it is, the Record's.
func (r *Record) Set(kind string, config any, fds ...int) error {
	b, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStays, err)
	}
	if err := Same(b, config); err != nil {
		return err
	}
	r.Kind, r.Config, r.FDs, r.Files = kind, b, fds, len(fds)
	return nil
}

// Same is an error where the JSON b is not the value that it was made of: JSON has no
// strings but UTF-8.
func Same(b []byte, value any) error {
	back := reflect.New(reflect.TypeOf(value))
	if err := json.Unmarshal(b, back.Interface()); err != nil {
		return err
	}
	if !reflect.DeepEqual(back.Elem().Interface(), value) {
		return fmt.Errorf("%w: a string or path is not UTF-8", ErrStays)
	}
	return nil
}

// FD is a file's descriptor, which stays the file's. Unlike File.Fd it does not change the
// file's mode.
func FD(f *os.File) (int, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	err = conn.Control(func(n uintptr) { fd = int(n) })
	return fd, err
}

// Get fills config from the Record. The descriptors, of which there must be one for each of
// the pointers that are given, are the caller's from then on.
func (r *Record) Get(config any) error {
	if len(r.FDs) != r.Files {
		return fmt.Errorf("%s: %d descriptors came, of %d", r.Kind, len(r.FDs), r.Files)
	}
	return json.Unmarshal(r.Config, config)
}
