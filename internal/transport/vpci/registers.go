package vpci

import (
	"encoding/binary"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Registers of the common configuration (section 4.1.4.3).
const (
	regDeviceSel     = 0x00 // u32 RW
	regDeviceFeature = 0x04 // u32 R
	regDriverSel     = 0x08 // u32 RW
	regDriverFeature = 0x0C // u32 RW
	regConfigVector  = 0x10 // u16 RW
	regNumQueues     = 0x12 // u16 R
	regStatus        = 0x14 // u8 RW
	regGeneration    = 0x15 // u8 R
	regQueueSel      = 0x16 // u16 RW: the queue of the following registers
	regQueueSize     = 0x18 // u16 RW
	regQueueVector   = 0x1A // u16 RW
	regQueueEnable   = 0x1C // u16 RW: only the reset clears it
	regNotifyOff     = 0x1E // u16 R
	regQueueDesc     = 0x20 // u64 RW, also as two u32
	regQueueDriver   = 0x28
	regQueueDevice   = 0x30
)

// regs are the transport's own registers.
type regs struct {
	deviceSel, driverSel uint32
	queueSel             uint16
}

// widthOf is the one width in which a register is accessed; 0: there is none.
func widthOf(off uint64) int {
	switch off {
	case regDeviceSel, regDeviceFeature, regDriverSel, regDriverFeature,
		regQueueDesc, regQueueDesc + 4, regQueueDriver, regQueueDriver + 4, regQueueDevice, regQueueDevice + 4:
		return 4
	case regConfigVector, regNumQueues, regQueueSel, regQueueSize, regQueueVector, regQueueEnable, regNotifyOff:
		return 2
	case regStatus, regGeneration:
		return 1
	}
	return 0
}

// Read is a processor's read from the BAR. What doesn't exist, or is read in another
// width than its own, is 0.
func (t *Transport) Read(off uint64, p []byte) {
	n := uint64(len(p))
	switch {
	case within(off, n, deviceAt, deviceSize):
		t.in.ReadConfig(off-deviceAt, p)
		return
	case within(off, n, tableAt, t.msix.TableSize()):
		t.msix.ReadTable(off-tableAt, p)
		return
	case within(off, n, pbaAt, t.msix.PBASize()):
		t.msix.ReadPBA(off-pbaAt, p)
		return
	}
	clear(p)
	switch {
	case off == isrAt:
		p[0] = byte(t.isr.Swap(0)) // a read clears it
	case within(off, n, commonAt, commonSize):
		t.readCommon(off, p)
	}
}

// Write is a processor's write to the BAR.
func (t *Transport) Write(off uint64, p []byte) {
	n := uint64(len(p))
	switch {
	case within(off, n, notifyAt, notifyFactor*uint64(len(t.queues))):
		t.in.Notify(int(off-notifyAt) / notifyFactor)
	case within(off, n, deviceAt, deviceSize):
		t.in.WriteConfig(off-deviceAt, p)
	case within(off, n, tableAt, t.msix.TableSize()):
		t.msix.WriteTable(off-tableAt, p)
	case within(off, n, commonAt, commonSize):
		t.writeCommon(off, p)
	}
}

func within(off, n, at, size uint64) bool { return off >= at && off-at < size && n <= size-(off-at) }

func (t *Transport) readCommon(off uint64, p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(p) == 8 && widthOf(off) == 4 && off >= regQueueDesc && off%8 == 0 {
		binary.LittleEndian.PutUint64(p, uint64(t.read(off))|uint64(t.read(off+4))<<32)
		return
	}
	if len(p) != widthOf(off) {
		return
	}
	var v [4]byte
	binary.LittleEndian.PutUint32(v[:], t.read(off))
	copy(p, v[:])
}

func (t *Transport) writeCommon(off uint64, p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(p) == 8 && widthOf(off) == 4 && off >= regQueueDesc && off%8 == 0 {
		t.write(off, binary.LittleEndian.Uint32(p))
		t.write(off+4, binary.LittleEndian.Uint32(p[4:]))
		return
	}
	if len(p) != widthOf(off) {
		return
	}
	var v [4]byte
	copy(v[:], p)
	t.write(off, binary.LittleEndian.Uint32(v[:]))
}

func (t *Transport) read(off uint64) uint32 {
	sel := int(t.queueSel)
	switch off {
	case regDeviceSel:
		return t.deviceSel
	case regDeviceFeature:
		return half(t.in.Features(), t.deviceSel)
	case regDriverSel:
		return t.driverSel
	case regDriverFeature:
		return half(t.in.Accepted(), t.driverSel)
	case regConfigVector:
		return uint32(t.config.vector)
	case regNumQueues:
		return uint32(len(t.queues))
	case regStatus:
		return uint32(t.in.Status())
	case regGeneration:
		return t.in.Generation() & 0xFF
	case regQueueSel:
		return uint32(t.queueSel)
	case regQueueVector:
		if sel < len(t.queues) {
			return uint32(t.queues[sel].vector)
		}
		return NoVector
	case regNotifyOff:
		if sel < len(t.queues) {
			return uint32(sel)
		}
		return 0
	}
	q := t.in.Queue(sel)
	switch off {
	case regQueueSize:
		return uint32(q.Size)
	case regQueueEnable:
		if q.Ready {
			return 1
		}
	case regQueueDesc, regQueueDriver, regQueueDevice:
		return uint32(*area(&q, off))
	case regQueueDesc + 4, regQueueDriver + 4, regQueueDevice + 4:
		return uint32(*area(&q, off) >> 32)
	}
	return 0
}

func half(f virtio.Feature, sel uint32) uint32 {
	if sel > 1 {
		return 0
	}
	return uint32(f >> (32 * sel))
}

func (t *Transport) write(off uint64, v uint32) {
	sel := int(t.queueSel)
	switch off {
	case regDeviceSel:
		t.deviceSel = v
	case regDriverSel:
		t.driverSel = v
	case regDriverFeature:
		if t.driverSel < 2 {
			shift := 32 * t.driverSel
			t.in.Accept(t.in.Accepted()&^(0xFFFF_FFFF<<shift) | virtio.Feature(v)<<shift)
		}
	case regConfigVector:
		_ = t.config.assign(uint16(v)) // the driver reads back what it got
	case regStatus:
		t.setStatus(uint8(v))
	case regQueueSel:
		t.queueSel = uint16(v)
	case regQueueVector:
		if sel < len(t.queues) {
			_ = t.queues[sel].assign(uint16(v))
		}
	case regQueueSize:
		t.in.SetQueue(sel, func(q *virtio.QueueState) { q.Size = uint16(v) })
	case regQueueEnable:
		if v == 1 { // a driver may not write 0 (section 4.1.4.3.2)
			t.in.SetQueue(sel, func(q *virtio.QueueState) { q.Ready = true })
		}
	case regQueueDesc, regQueueDriver, regQueueDevice:
		t.in.SetQueue(sel, func(q *virtio.QueueState) {
			a := area(q, off)
			*a = *a&^0xFFFF_FFFF | memory.Addr(v)
		})
	case regQueueDesc + 4, regQueueDriver + 4, regQueueDevice + 4:
		t.in.SetQueue(sel, func(q *virtio.QueueState) {
			a := area(q, off)
			*a = *a&0xFFFF_FFFF | memory.Addr(v)<<32
		})
	}
}

// area is the address that the register at off is a half of.
func area(q *virtio.QueueState, off uint64) *memory.Addr {
	switch off &^ 4 {
	case regQueueDesc:
		return &q.Desc
	case regQueueDriver:
		return &q.Driver
	}
	return &q.Device
}

func (t *Transport) setStatus(v uint8) {
	t.in.SetStatus(v)
	if v != 0 {
		return
	}
	t.clear() // the device has stopped: nothing is signalled any more
}

// clear resets the transport's own registers; mu is held.
func (t *Transport) clear() {
	t.regs = regs{}
	_ = t.config.assign(NoVector)
	for i := range t.queues {
		_ = t.queues[i].assign(NoVector)
	}
	t.isr.Store(0)
}
