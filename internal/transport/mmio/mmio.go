// Package mmio is virtio over memory-mapped registers, version 2 (section 4.2 of
// virtio 1.3): a block of Size bytes for each device and one edge-triggered
// interrupt. Guests find it by ACPI ("LNRO0005") or by their command line.
//
// It is the transport that a guest finds at the least cost: no bus is probed, and a
// device is set up with some forty accesses. Its price is one interrupt for all
// queues, with a read and a write of registers each time. Where the hypervisor can
// map memory for that (Config.Panel), reads cause no exit, and the write only that of
// an ioeventfd.
package mmio

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Size is how many bytes of guest-physical space a device takes: 256 of
// registers, 256 of the device's configuration space. No device has more.
const Size = 0x200

// Config is a device's addresses and what it needs of its machine.
type Config struct {
	Fabric bus.Fabric
	// Addr is guest-physical, a multiple of Size.
	Addr uint64
	// GSI is the pin of the I/O APIC: what ACPI and the command line say.
	GSI uint32
	// Interrupt raises it. The caller closes it, if at all.
	Interrupt virtio.Interrupt
	// Panel is memory of Size bytes that guests see at Addr, read-only, so that no
	// read leaves them. nil: each read comes to Read, as it may with a Panel too.
	Panel []byte
}

// Transport is the registers of one device: a bus.Handler for Size bytes and the
// virtio.Transport of its instance.
type Transport struct {
	cfg Config
	in  *virtio.Instance
	irq interrupt

	panel panel
	ack   int // an eventfd that takes the driver's acknowledgements, see bindACK; -1: none
	bound int // queues with an ioeventfd

	mu sync.Mutex // of the registers that select; the driver should have a lock too
	regs
}

// New makes the transport of in, a new instance, and attaches it.
func New(in *virtio.Instance, c Config) (*Transport, error) {
	switch {
	case c.Fabric == nil || c.Interrupt == nil:
		return nil, errors.New("virtio/mmio: no fabric or no interrupt")
	case c.Addr%Size != 0 || c.Addr > 1<<52-Size:
		return nil, fmt.Errorf("virtio/mmio: a device at %#x; expected a multiple of %#x below 2^52", c.Addr, Size)
	case c.Panel != nil && len(c.Panel) != Size:
		return nil, fmt.Errorf("virtio/mmio: a panel of %d bytes; it has %d", len(c.Panel), Size)
	}
	t := &Transport{cfg: c, in: in, ack: -1}
	t.irq.line, t.irq.status = c.Interrupt, new(atomic.Uint32)
	in.Attach(t)
	if c.Panel != nil {
		t.panel.mem = c.Panel
		t.irq.status = (*atomic.Uint32)(unsafe.Pointer(t.panel.word(regInterrupt)))
		t.initPanel()
	}
	return t, nil
}

// Addr is where the registers are.
func (t *Transport) Addr() uint64 { return t.cfg.Addr }

// GSI is the interrupt's pin.
func (t *Transport) GSI() uint32 { return t.cfg.GSI }

// Instance is the device's.
func (t *Transport) Instance() *virtio.Instance { return t.in }

// Parameter is the kernel parameter by which a Linux without ACPI finds the device, if
// it was built with CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES. With ACPI, Linux would find
// the device twice.
func (t *Transport) Parameter() string {
	return fmt.Sprintf("virtio_mmio.device=%d@%#x:%d", Size, t.cfg.Addr, t.cfg.GSI)
}

// Bind makes writes of i to QueueNotify signal the eventfd kick. Where the host has no
// ioeventfds the writes come to Write.
func (t *Transport) Bind(i, kick int) error {
	if t.panel.mem != nil && t.bound == 0 {
		t.bindACK()
	}
	t.bound++
	err := t.cfg.Fabric.Bind(t.ioEvent(i, kick))
	switch {
	case err == nil, errors.Is(err, bus.ErrNoIOEvent):
		return nil
	}
	t.unbound()
	return err
}

// Unbind ends a Bind.
func (t *Transport) Unbind(i, kick int) {
	_ = t.cfg.Fabric.Unbind(t.ioEvent(i, kick)) // fails where the host has no ioeventfds
	t.unbound()
}

// unbound counts a queue less. After the last one the interrupt is raised by this
// process alone, so that an acknowledgement clears the bit again.
func (t *Transport) unbound() {
	if t.bound--; t.bound > 0 {
		return
	}
	if t.ack >= 0 {
		_ = t.cfg.Fabric.Unbind(t.ioEventACK())
		t.closeACK()
	}
	t.irq.kept.Store(false)
}

// bindACK lets a driver acknowledge used buffers at the cost of an ioeventfd's exit:
// the device need not know of it. The bit then reads as set for good, see interrupt.
// The eventfd is not added to Go's poller, which would wake a thread each time. If it
// can't be made, the acknowledgements come to Write.
func (t *Transport) bindACK() {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return
	}
	t.ack = fd
	if t.cfg.Fabric.Bind(t.ioEventACK()) != nil {
		t.closeACK()
		return
	}
	t.irq.keepUsed()
}

func (t *Transport) closeACK() {
	unix.Close(t.ack)
	t.ack = -1
}

func (t *Transport) ioEventACK() bus.IOEvent {
	return bus.IOEvent{Addr: t.cfg.Addr + regInterruptACK, Size: 4, Match: true, Value: statusUsed, FD: t.ack}
}

func (t *Transport) ioEvent(i, kick int) bus.IOEvent {
	return bus.IOEvent{Addr: t.cfg.Addr + regQueueNotify, Size: 4, Match: true, Value: uint64(i), FD: kick}
}

// Interrupt is the same for all queues.
func (t *Transport) Interrupt(int) virtio.Interrupt { return &t.irq }

// ConfigChanged interrupts the driver.
func (t *Transport) ConfigChanged() {
	t.showShared()
	t.irq.raise(statusConfig)
}

// Bits of InterruptStatus.
const (
	statusUsed   = 1
	statusConfig = 2
)

// interrupt is the device's only one, with the register of its reasons.
type interrupt struct {
	line   virtio.Interrupt
	status *atomic.Uint32
	// kept: the bit for used buffers is set for good. Back ends in the kernel raise the
	// interrupt, and ioeventfds take acknowledgements, without this process; and a
	// driver that finds nothing in its rings ignores the interrupt (Linux's
	// vring_interrupt, FreeBSD's virtqueue_intr return at once).
	kept atomic.Bool
}

func (i *interrupt) raise(why uint32) {
	i.status.Or(why) // before the signal: the driver may read it at once
	i.line.Signal()
}

// Signal interrupts the driver because of used buffers.
func (i *interrupt) Signal() { i.raise(statusUsed) }

// FD is for a back end in the kernel, which can't set the bit for used buffers.
func (i *interrupt) FD() int {
	i.keepUsed()
	return i.line.FD()
}

func (i *interrupt) keepUsed() {
	i.kept.Store(true)
	i.status.Or(statusUsed)
}

func (i *interrupt) acknowledge(v uint32) {
	if i.kept.Load() {
		v &^= statusUsed
	}
	i.status.And(^v)
}

// restore sets the register as it was saved, but for the bit that is kept.
func (i *interrupt) restore(status uint32) {
	if i.kept.Load() {
		status |= statusUsed
	}
	if i.status.Store(status); status != 0 {
		i.line.Signal()
	}
}

func (i *interrupt) reset() {
	i.kept.Store(false)
	i.status.Store(0)
}
