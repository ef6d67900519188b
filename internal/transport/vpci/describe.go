package vpci

import (
	"encoding/binary"

	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/virtio"
)

// A modern device's ids (section 4.1.2).
const (
	vendor     = 0x1AF4
	deviceBase = 0x1040
	revision   = 1
)

// Types of capabilities (section 4.1.4).
const (
	capID     = 0x09 // vendor specific
	capCommon = 1
	capNotify = 2
	capISR    = 3
	capDevice = 4
	capAccess = 5
)

// classOf is the class code.
func classOf(t virtio.Type) uint32 {
	switch t {
	case virtio.TypeNet:
		return 0x02_00_00 // network, Ethernet
	case virtio.TypeBlock:
		return 0x01_80_00 // mass storage, other
	case virtio.TypeConsole, virtio.TypeVsock:
		return 0x07_80_00 // communication, other
	}
	return 0xFF_00_00
}

// describe makes the configuration space. Guests read the list of capabilities
// again and again, so those that they search for most often are first.
func (t *Transport) describe() error {
	kind := t.in.Device().Type()
	t.space = pci.NewSpace(pci.ID{
		Vendor: vendor, Device: deviceBase + uint16(kind), Class: classOf(kind), Revision: revision,
		SubVendor: vendor, SubDevice: 0x40 + uint16(kind),
	})
	if err := t.space.SetBAR(barIndex, pci.BAR{Name: "virtio-" + kind.String(), Size: barSize, Handler: t}); err != nil {
		return err
	}
	if err := t.msix.AddTo(t.space, barIndex, tableAt, pbaAt); err != nil {
		return err
	}
	for _, c := range []struct {
		kind        byte
		at, size    uint32
		tail, write []byte
	}{
		{kind: capCommon, at: commonAt, size: commonSize},
		{kind: capISR, at: isrAt, size: isrSize},
		{kind: capNotify, at: notifyAt, size: notifyFactor * uint32(max(len(t.queues), 1)), tail: []byte{notifyFactor, 0, 0, 0}},
		{kind: capDevice, at: deviceAt, size: deviceSize},
		{kind: capAccess, tail: make([]byte, 4), write: accessWritable},
	} {
		// struct virtio_pci_cap: id u8, next u8, cap_len u8, cfg_type u8, bar u8, id u8,
		// padding u16, offset u32, length u32; then tail.
		body := []byte{byte(16 + len(c.tail)), c.kind, barIndex, 0, 0, 0}
		body = binary.LittleEndian.AppendUint32(body, c.at)
		body = binary.LittleEndian.AppendUint32(body, c.size)
		off, err := t.space.AddCapability(capID, append(body, c.tail...), c.write)
		if err != nil {
			return err
		}
		if c.kind == capAccess {
			t.window(off)
		}
	}
	return nil
}

// accessWritable: the guest chooses bar, offset and length, and writes the data.
var accessWritable = []byte{
	0, 0, 0xFF, 0, 0, 0,
	0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
	0xFF, 0xFF, 0xFF, 0xFF,
}

// window lets a guest that has not mapped the BAR reach it through the four bytes
// at the end of the capability at off (section 4.1.4.9).
func (t *Transport) window(off int) {
	const data = 16
	// where is the access that the guest chose; 0: none that is allowed.
	where := func() (at uint64, n int) {
		b, at, size := t.space.Uint32(off+4)&0xFF, uint64(t.space.Uint32(off+8)), t.space.Uint32(off+12)
		if b != barIndex || size != 1 && size != 2 && size != 4 || at%uint64(size) != 0 || at > barSize-uint64(size) {
			return 0, 0
		}
		return at, int(size)
	}
	t.space.Hook(off+data, 4, func() {
		if at, n := where(); n > 0 {
			var p [4]byte
			t.Read(at, p[:n])
			t.space.SetUint32(off+data, binary.LittleEndian.Uint32(p[:]))
		}
	}, func() {
		if at, n := where(); n > 0 {
			p := binary.LittleEndian.AppendUint32(nil, t.space.Uint32(off+data))
			t.Write(at, p[:n])
		}
	})
}
