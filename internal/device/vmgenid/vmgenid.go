// Package vmgenid is the virtual machine generation id: 16 bytes in guest memory
// that change when the machine is a copy of what it was, after a restore from a
// snapshot. Linux then reseeds its random number generator, so that two machines
// from one snapshot don't generate the same keys.
//
// The device is these bytes alone: ACPI gives their address (acpi.VMGenID), and an
// event of the power device says that they have changed.
//
// Reference: Microsoft, "Virtual Machine Generation ID", August 2012; Linux
// drivers/virt/vmgenid.c.
package vmgenid

import (
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/memory"
)

// Size is that of the id, in bytes; Align what its address is a multiple of.
const (
	Size  = 16
	Align = 8
)

// Config is where the id is, and how the guest is notified.
type Config struct {
	Memory *memory.Map
	// Addr is guest-physical, in memory that the guest's map has as reserved.
	Addr memory.Addr
	// Notify notifies the guest that the id has changed: (*power.Device).Renewed.
	Notify func()
	// Repeatable has New make the same id in each machine, for one of which each run is to be the same: the guest
	// seeds its random numbers with it. Renew's are random all the same.
	Repeatable bool
}

// Device is the id of one machine. Its methods are safe for several goroutines.
type Device struct {
	cfg Config
	mu  sync.Mutex
	id  [Size]byte
}

// New makes an id and writes it to guest memory.
func New(c Config) (*Device, error) {
	if c.Addr%Align != 0 {
		return nil, fmt.Errorf("vmgenid: address %#x is no multiple of %d", uint64(c.Addr), Align)
	}
	d := &Device{cfg: c}
	if c.Repeatable {
		return d, d.write()
	}
	return d, d.renew()
}

// Renew gives the machine a new id and notifies the guest. For a machine that was
// restored, before its processors run; SetState does it.
func (d *Device) Renew() error {
	if err := d.renew(); err != nil {
		return err
	}
	if d.cfg.Notify != nil {
		d.cfg.Notify()
	}
	return nil
}

func (d *Device) renew() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Not unix.Getrandom, which makes memory for the vDSO's generator first. At most
	// 256 bytes: whole, or an error.
	if _, _, errno := unix.Syscall(unix.SYS_GETRANDOM, uintptr(unsafe.Pointer(&d.id[0])), uintptr(len(d.id)), 0); errno != 0 {
		return fmt.Errorf("vmgenid: the host's random generator: %w", errno)
	}
	return d.write()
}

// write writes the id to guest memory.
func (d *Device) write() error {
	// Marked as a random UUID (RFC 9562, section 5.4), in the order of a GUID.
	d.id[7] = d.id[7]&0x0F | 0x40
	d.id[8] = d.id[8]&0x3F | 0x80
	if _, err := d.cfg.Memory.WriteAt(d.id[:], int64(d.cfg.Addr)); err != nil {
		return fmt.Errorf("vmgenid: %w", err)
	}
	return nil
}

// ID is the id, in the byte order of guest memory.
func (d *Device) ID() [Size]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id
}
