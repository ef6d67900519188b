package vhost

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl numbers, include/uapi/linux/vhost.h. constants_test.go compares them with
// the headers.
const (
	getFeatures     = 0x8008af00
	setFeatures     = 0x4008af00
	setOwner        = 0xaf01
	setMemTable     = 0x4008af03
	setVringNum     = 0x4008af10
	setVringAddr    = 0x4028af11
	setVringBase    = 0x4008af12
	getVringBase    = 0xc008af12
	setVringKick    = 0x4008af20
	setVringCall    = 0x4008af21
	setVringErr     = 0x4008af22
	netSetBackend   = 0x4008af30
	vsockSetCID     = 0x4008af60
	vsockSetRunning = 0x4004af61
)

// vringState is struct vhost_vring_state, 8 bytes.
type vringState struct{ index, num uint32 }

// vringFile is struct vhost_vring_file, 8 bytes; fd -1 takes the file away.
type vringFile struct {
	index uint32
	fd    int32
}

// vringAddr is struct vhost_vring_addr, 40 bytes: addresses in this process.
type vringAddr struct {
	index             uint32
	_                 uint32 // flags
	desc, used, avail uint64
	_                 uint64 // log_guest_addr
}

// memRegion is struct vhost_memory_region, 32 bytes.
type memRegion struct {
	guest, size, user uint64
	_                 uint64 // flags
}

// memHeader is struct vhost_memory without its regions, 8 bytes.
type memHeader struct{ regions, padding uint32 }

func pointer[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }

func (d *Device) ptr(req uintptr, op string, arg unsafe.Pointer) error {
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), req, uintptr(arg))
		switch e {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return fmt.Errorf("%s: %s: %w", d.path, op, e)
	}
}

// call is an ioctl whose argument is no pointer.
func (d *Device) call(req uintptr, op string, arg uintptr) error {
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), req, arg)
		switch e {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return fmt.Errorf("%s: %s: %w", d.path, op, e)
	}
}
