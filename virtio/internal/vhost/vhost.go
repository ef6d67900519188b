// Package vhost hands virtqueues to the host's kernel: /dev/vhost-net moves a
// network card's frames and /dev/vhost-vsock a socket device's packets without
// this process, woken by the eventfd that the driver rings and interrupting by
// the one behind an irqfd. It is include/uapi/linux/vhost.h, one method for one
// ioctl, and the three steps that all back ends share: Setup, Start, Stop.
//
// The kernel knows split rings alone; a driver of packed rings can't be handed
// over. It reads and checks descriptors with its own checks, against the table
// of memory that Setup gives it.
package vhost

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

// The devices, and the modules that make them.
const (
	NetPath   = "/dev/vhost-net"
	VsockPath = "/dev/vhost-vsock"
)

// Device is an open vhost device: one for each pair of a network card's queues,
// one for a whole socket device. It is not safe for use by several goroutines.
type Device struct {
	fd   int
	path string
	// faults is signalled by the kernel when it gives up on a queue.
	faults faults
	owned  bool
}

// ErrUnavailable is wrapped by Open's errors: the kernel has no such device, or
// this user may not open it.
var ErrUnavailable = errors.New("not available here")

// Open opens the device at path. What costs time is left to Own.
func Open(path string) (*Device, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, openError(path, err)
	}
	return &Device{fd: fd, path: path}, nil
}

// Own makes this process the device's owner (VHOST_SET_OWNER): the kernel starts
// a thread that works in this process's memory. Setup does it where it was not
// done.
func (d *Device) Own() error {
	if d.owned {
		return nil
	}
	if err := d.call(setOwner, "VHOST_SET_OWNER", 0); err != nil {
		return err
	}
	d.owned = true
	return nil
}

func openError(path string, err error) error {
	do := ""
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		do = "; load its module (modprobe " + module(path) + ")"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		do = "; give this user the right to read and write it (group kvm on most distributions)"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		do = "; raise the limit of open files (ulimit -n)"
	}
	return fmt.Errorf("%s is %w: %w%s", path, ErrUnavailable, err, do)
}

func module(path string) string {
	if path == VsockPath {
		return "vhost_vsock"
	}
	return "vhost_net"
}

// Close ends the kernel's work and gives the device back.
func (d *Device) Close() error {
	d.faults.close()
	return unix.Close(d.fd)
}

// Features are the features that the kernel can serve, of the ring and of the
// device (VHOST_GET_FEATURES).
func (d *Device) Features() (virtio.Feature, error) {
	var f uint64
	err := d.ptr(getFeatures, "VHOST_GET_FEATURES", pointer(&f))
	return virtio.Feature(f), err
}

// SetFeatures tells the kernel what the driver accepted (VHOST_SET_FEATURES).
// Bits that the kernel doesn't know are an error: mask them, or don't offer them.
func (d *Device) SetFeatures(f virtio.Feature) error {
	v := uint64(f)
	return d.ptr(setFeatures, "VHOST_SET_FEATURES", pointer(&v))
}
