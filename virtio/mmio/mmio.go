// Package mmio is virtio over memory-mapped registers, version 2 (section 4.2 of
// virtio 1.3): a block of Size bytes for each device and one edge-triggered
// interrupt. Guests find it by ACPI ("LNRO0005") or by their command line.
//
// It is the transport that costs a guest least to find: no bus is probed, and a
// device is set up with some forty accesses. Its price is one interrupt for all
// queues, with a read and a write of registers each time.
package mmio

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/bus"
	"github.com/mayfly-vm/mayfly/eventfd"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Size is how many bytes of guest-physical space a device takes: 256 of
// registers, 256 of the device's configuration space. No device has more.
const Size = 0x200

// Config is where a device stands.
type Config struct {
	Fabric bus.Fabric
	// Addr is guest-physical, a multiple of Size.
	Addr uint64
	// GSI is the pin of the I/O APIC: what ACPI and the command line say.
	GSI uint32
	// Interrupt raises it. It stays its owner's.
	Interrupt virtio.Interrupt
}

// Transport is the registers of one device: a bus.Handler for Size bytes and the
// virtio.Transport of its instance.
type Transport struct {
	cfg Config
	in  *virtio.Instance
	irq interrupt

	mu sync.Mutex // of the registers that select; the driver should have a lock too
	regs
}

// New stands before in, a new instance, which it attaches itself to.
func New(in *virtio.Instance, c Config) (*Transport, error) {
	switch {
	case c.Fabric == nil || c.Interrupt == nil:
		return nil, errors.New("virtio/mmio: no fabric or no interrupt")
	case c.Addr%Size != 0 || c.Addr > 1<<52-Size:
		return nil, fmt.Errorf("virtio/mmio: a device at %#x; expected a multiple of %#x below 2^52", c.Addr, Size)
	}
	t := &Transport{cfg: c, in: in}
	t.irq.line = c.Interrupt
	in.Attach(t)
	return t, nil
}

// Addr is where the registers are.
func (t *Transport) Addr() uint64 { return t.cfg.Addr }

// GSI is the interrupt's pin.
func (t *Transport) GSI() uint32 { return t.cfg.GSI }

// Instance is the device's.
func (t *Transport) Instance() *virtio.Instance { return t.in }

// Parameter is what tells a Linux of the device that has no ACPI (and was built
// with CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES). With ACPI, Linux would find the
// device twice.
func (t *Transport) Parameter() string {
	return fmt.Sprintf("virtio_mmio.device=%d@%#x:%d", Size, t.cfg.Addr, t.cfg.GSI)
}

// Bind makes writes of i to QueueNotify ring bell. Where the processors' side has
// no doorbells the writes come to Write.
func (t *Transport) Bind(i int, bell *eventfd.FD) error {
	err := t.cfg.Fabric.Bind(t.doorbell(i, bell))
	if errors.Is(err, bus.ErrNoDoorbell) {
		return nil
	}
	return err
}

// Unbind ends a Bind.
func (t *Transport) Unbind(i int, bell *eventfd.FD) {
	_ = t.cfg.Fabric.Unbind(t.doorbell(i, bell)) // where none was bound none is missed
}

func (t *Transport) doorbell(i int, bell *eventfd.FD) bus.Doorbell {
	return bus.Doorbell{Addr: t.cfg.Addr + regQueueNotify, Size: 4, Match: true, Value: uint64(i), FD: bell.FD()}
}

// Interrupt is the same for all queues.
func (t *Transport) Interrupt(int) virtio.Interrupt { return &t.irq }

// ConfigChanged interrupts the driver.
func (t *Transport) ConfigChanged() { t.irq.raise(statusConfig) }

// Bits of InterruptStatus.
const (
	statusUsed   = 1
	statusConfig = 2
)

// interrupt is the device's only one, with the register that says why it came.
type interrupt struct {
	line   virtio.Interrupt
	status atomic.Uint32
	// foreign: somebody has line's eventfd and raises the interrupt past status.
	foreign atomic.Bool
}

func (i *interrupt) raise(why uint32) {
	i.status.Or(why) // before the signal: the driver may look at once
	i.line.Signal()
}

// Signal tells of used buffers.
func (i *interrupt) Signal() { i.raise(statusUsed) }

// FD is for a back end in the kernel, which can't set the bit for used buffers.
// From here on it reads as set, always: a driver that finds nothing in its rings
// goes on (Linux's vring_interrupt, FreeBSD's virtqueue_intr return at once).
func (i *interrupt) FD() int {
	i.foreign.Store(true)
	return i.line.FD()
}

func (i *interrupt) read() uint32 {
	v := i.status.Load()
	if i.foreign.Load() {
		v |= statusUsed
	}
	return v
}

func (i *interrupt) reset() {
	i.foreign.Store(false)
	i.status.Store(0)
}
