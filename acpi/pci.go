package acpi

import (
	"encoding/binary"

	"github.com/mayfly-vm/mayfly/memory"
)

// PCI is a host bridge with one bus, number 0, whose devices have message-signalled
// interrupts only, so that there is no routing of pins to describe.
type PCI struct {
	// ECAM is where the bus's configuration space is, ecamSize bytes at a multiple of
	// that below 4 GiB.
	ECAM uint32
	// Ports: configuration space can also be reached by ports 0xCF8 to 0xCFF.
	Ports bool
	// Low and High are the windows of base addresses: Low ends at or below 4 GiB, and
	// High may be empty.
	Low, High memory.Range
}

const (
	ecamSize    = 1 << 20 // 32 slots × 8 functions × 4 KiB
	configPorts = 0xCF8
)

func (p *PCI) check(bad func(string, ...any) error) error {
	const page = 1<<12 - 1
	switch {
	case p == nil:
		return nil
	case p.ECAM == 0 || p.ECAM%ecamSize != 0:
		return bad("PCI configuration space at %#x, expected a multiple of %#x", p.ECAM, ecamSize)
	case p.Low.Size == 0 || !(memory.Range{Size: 1 << 32}).Contains(p.Low.Addr, p.Low.Size):
		return bad("a low PCI window of %#x bytes at %#x, expected one that ends at or below 4 GiB", p.Low.Size, p.Low.Addr)
	case uint64(p.High.Addr)+p.High.Size < p.High.Size:
		return bad("a high PCI window of %#x bytes at %#x", p.High.Size, p.High.Addr)
	case (uint64(p.Low.Addr|p.High.Addr)|p.Low.Size|p.High.Size)&page != 0:
		return bad("PCI windows at %#x and %#x that are not page aligned", p.Low.Addr, p.High.Addr)
	case p.Low.Overlaps(p.configSpace()), p.High.Overlaps(p.configSpace()), p.Low.Overlaps(p.High):
		return bad("PCI windows that overlap each other or the configuration space")
	}
	return nil
}

func (p *PCI) configSpace() memory.Range {
	return memory.Range{Addr: memory.Addr(p.ECAM), Size: ecamSize}
}

// aml describes the bridge (PNP0A08) with all that it passes on, and, as a
// motherboard's resource (PNP0C02), the addresses of configuration space: Linux uses
// MCFG only if a device has reserved them.
func (p *PCI) aml() []byte {
	rs := [][]byte{busNumbers(0, 0)}
	if p.Ports {
		rs = append(rs, ioPorts(configPorts, 8))
	}
	rs = append(rs, memory32(p.Low))
	if p.High.Size > 0 {
		rs = append(rs, memory64(p.High))
	}
	bridge := dev("PCI0",
		name("_HID", eisaID("PNP0A08")),
		name("_CID", eisaID("PNP0A03")),
		name("_UID", integer(0)),
		name("_SEG", integer(0)),
		name("_BBN", integer(0)),
		name("_CCA", integer(1)),
		name("_CRS", resources(rs...)),
	)
	board := dev("MBRD",
		name("_HID", eisaID("PNP0C02")),
		name("_UID", integer(0)),
		name("_CRS", resources(fixedMemory(p.ECAM, ecamSize))),
	)
	return append(bridge, board...)
}

// mcfg returns the table of configuration space's address (PCI Firmware 3.2, section 4.1.2): 8
// reserved bytes, then for each segment base u64, segment u16, first and last bus
// u8, reserved u32.
func mcfg(p *PCI) []byte {
	b := newTable("MCFG", 1)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.ECAM))
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	return sealTable(b)
}

// Address space descriptors (section 6.4.3.5): tag, u16 length of what follows,
// type, flags, flags of the type; then granularity, first, last, translation
// offset and length, in words, double words or quad words.
const (
	spaceMemory    = 0
	spaceBus       = 2
	producerFixed  = 1<<2 | 1<<3 // first and last address are fixed; the device passes it on
	memoryWritable = 1 << 0      // not cacheable
)

func busNumbers(first, last uint16) []byte {
	le := binary.LittleEndian
	b := []byte{0x88, 13, 0, spaceBus, producerFixed, 0}
	for _, v := range []uint16{0, first, last, 0, last - first + 1} {
		b = le.AppendUint16(b, v)
	}
	return b
}

func memory32(r memory.Range) []byte {
	b := []byte{0x87, 23, 0, spaceMemory, producerFixed, memoryWritable}
	for _, v := range []uint64{0, uint64(r.Addr), uint64(r.Addr) + r.Size - 1, 0, r.Size} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// memory64 is not marked prefetchable: Linux would keep other base addresses out.
func memory64(r memory.Range) []byte {
	b := []byte{0x8A, 43, 0, spaceMemory, producerFixed, memoryWritable}
	for _, v := range []uint64{0, uint64(r.Addr), uint64(r.Addr) + r.Size - 1, 0, r.Size} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}
