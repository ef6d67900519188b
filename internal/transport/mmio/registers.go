package mmio

import (
	"encoding/binary"
	"math"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Registers (section 4.2.2), each 4 bytes wide and accessed so.
const (
	regMagic          = 0x000 // R: "virt"
	regVersion        = 0x004 // R
	regDeviceID       = 0x008 // R
	regVendorID       = 0x00C // R
	regDeviceFeatures = 0x010 // R: 32 bits, those of DeviceFeaturesSel
	regDeviceSel      = 0x014 // W
	regDriverFeatures = 0x020 // W
	regDriverSel      = 0x024 // W
	regQueueSel       = 0x030 // W: the queue of the following registers
	regQueueSizeMax   = 0x034 // R: 0: no such queue
	regQueueSize      = 0x038 // W
	regQueueReady     = 0x044 // RW
	regQueueNotify    = 0x050 // W: number of a queue
	regInterrupt      = 0x060 // R
	regInterruptACK   = 0x064 // W
	regStatus         = 0x070 // RW
	regDescLow        = 0x080 // W
	regDescHigh       = 0x084
	regDriverLow      = 0x090
	regDriverHigh     = 0x094
	regDeviceLow      = 0x0A0
	regDeviceHigh     = 0x0A4
	regSHMSel         = 0x0AC // W
	regSHMLenLow      = 0x0B0 // R
	regSHMLenHigh     = 0x0B4
	regSHMBaseLow     = 0x0B8
	regSHMBaseHigh    = 0x0BC
	regGeneration     = 0x0FC // R
	config            = 0x100 // the device's configuration space, any width
)

const (
	magic   = 0x7472_6976 // "virt"
	version = 2
	vendor  = 0x4C46_594D // "MYFL"
)

// regs are the transport's own registers: those that select others.
type regs struct {
	deviceSel, driverSel, queueSel uint32
	// unreported: the configuration space has changed, perhaps since the driver has read
	// it, and the driver could not be notified yet.
	unreported bool
}

// Read is a processor's read. A register reads as 0 if the access is not one of
// aligned 32 bits, or if there is no such register or none that can be read.
func (t *Transport) Read(off uint64, p []byte) {
	if off >= config {
		t.in.ReadConfig(off-config, p)
		return
	}
	clear(p)
	if len(p) == 4 && off%4 == 0 {
		binary.LittleEndian.PutUint32(p, t.read(off))
	}
}

func (t *Transport) read(off uint64) uint32 {
	switch off {
	case regMagic:
		return magic
	case regVersion:
		return version
	case regDeviceID:
		return uint32(t.in.Device().Type())
	case regVendorID:
		return vendor
	case regInterrupt: // first of the rest: with each interrupt
		return t.irq.status.Load()
	case regStatus:
		return uint32(t.in.Status())
	case regGeneration:
		return t.in.Generation()
	case regSHMLenLow, regSHMLenHigh, regSHMBaseLow, regSHMBaseHigh:
		return math.MaxUint32 // a length of -1: no such region (section 4.2.2)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.selected(off)
}

// selected is a register that another one selects; mu is held.
func (t *Transport) selected(off uint64) uint32 {
	switch off {
	case regDeviceFeatures:
		if t.deviceSel < 2 {
			return uint32(t.in.Features() >> (32 * t.deviceSel))
		}
	case regQueueSizeMax:
		return uint32(t.in.MaxSize(t.queue()))
	case regQueueReady:
		if t.in.Queue(t.queue()).Ready {
			return 1
		}
	}
	return 0
}

// queue is the selected one, or a number that no queue has.
func (t *Transport) queue() int { return int(min(t.queueSel, math.MaxUint16)) }

// Write is a processor's write. Writes to what can't be written are ignored.
func (t *Transport) Write(off uint64, p []byte) {
	switch {
	case off >= config:
		// What has changed before was the device's change, what changes now is the driver's own.
		t.mu.Lock()
		t.unreported = t.showShared() || t.unreported
		t.mu.Unlock()
		t.in.WriteConfig(off-config, p)
		t.showShared()
	case len(p) == 4 && off%4 == 0:
		t.write(off, binary.LittleEndian.Uint32(p))
	}
}

func (t *Transport) write(off uint64, v uint32) {
	switch off {
	case regQueueNotify:
		t.in.Notify(int(min(v, math.MaxUint16)))
		return
	case regInterruptACK:
		t.irq.acknowledge(v)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set(off, v)
	changed := t.show()
	if off != regStatus {
		t.unreported = t.unreported || changed
		return
	}
	t.changed(changed)
}

// changed notifies the driver that the configuration space has changed, perhaps since
// it was read, as soon as it can be notified; mu is held. (The configuration of a disk
// whose driver knows no flush changes when the driver is ready: one interrupt in vain.)
func (t *Transport) changed(now bool) {
	t.unreported = t.unreported || now
	if status := t.in.Status(); status == 0 {
		t.unreported = false // a driver that begins reads everything
	} else if t.unreported && status&virtio.StatusDriverOK != 0 {
		t.unreported = false
		t.in.ConfigChanged()
	}
}

// set is a write to one of the registers that set the device up; mu is held.
func (t *Transport) set(off uint64, v uint32) {
	switch off {
	case regDeviceSel:
		t.deviceSel = v
	case regDriverSel:
		t.driverSel = v
	case regDriverFeatures:
		t.accept(v)
	case regQueueSel:
		t.queueSel = v
	case regQueueSize:
		t.in.SetQueue(t.queue(), func(q *virtio.QueueState) { q.Size = size(v) })
	case regQueueReady:
		t.in.SetQueue(t.queue(), func(q *virtio.QueueState) { q.Ready = v == 1 })
	case regStatus:
		t.setStatus(v)
	default:
		t.in.SetQueue(t.queue(), func(q *virtio.QueueState) { setArea(q, off, v) })
	}
}

// size is one that a queue can have or, for what none can, 0.
func size(v uint32) uint16 {
	if v > math.MaxUint16 {
		return 0
	}
	return uint16(v)
}

func (t *Transport) accept(v uint32) {
	if t.driverSel > 1 {
		return
	}
	shift := 32 * t.driverSel
	t.in.Accept(t.in.Accepted()&^(math.MaxUint32<<shift) | virtio.Feature(v)<<shift)
}

func (t *Transport) setStatus(v uint32) {
	if v > math.MaxUint8 {
		return
	}
	t.in.SetStatus(uint8(v))
	if v == 0 { // the device has stopped: nothing sets them again
		t.irq.reset()
		t.regs = regs{}
	}
}

func setArea(q *virtio.QueueState, off uint64, v uint32) {
	for _, a := range [...]struct {
		low, high uint64
		addr      *memory.Addr
	}{{regDescLow, regDescHigh, &q.Desc}, {regDriverLow, regDriverHigh, &q.Driver}, {regDeviceLow, regDeviceHigh, &q.Device}} {
		switch off {
		case a.low:
			*a.addr = *a.addr&^math.MaxUint32 | memory.Addr(v)
		case a.high:
			*a.addr = *a.addr&math.MaxUint32 | memory.Addr(v)<<32
		}
	}
}
