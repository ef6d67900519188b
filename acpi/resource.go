package acpi

import "encoding/binary"

// resources encodes resource descriptors as the buffer that _CRS is, followed by the
// end tag (section 6.4). A checksum of 0 in the tag is always valid.
func resources(descriptors ...[]byte) []byte {
	body := concat(concat(descriptors...), []byte{0x79, 0})
	return packaged([]byte{opBuffer}, concat(integer(uint64(len(body))), body))
}

// ioPorts encodes a port descriptor (section 6.4.2.5): 16-bit decoding, u16
// lowest and highest base, alignment, number of ports.
func ioPorts(port uint16, n byte) []byte {
	b := []byte{0x47, 1}
	b = binary.LittleEndian.AppendUint16(b, port)
	b = binary.LittleEndian.AppendUint16(b, port)
	return append(b, 1, n)
}

// edgeInterrupt encodes an extended interrupt descriptor (section 6.4.3.6): consumer
// (bit 0), edge (bit 1), active high, exclusive; one GSI. The short descriptor
// would make Linux search for an override of an ISA interrupt.
func edgeInterrupt(gsi uint32) []byte {
	b := []byte{0x89, 6, 0, 1<<0 | 1<<1, 1}
	return binary.LittleEndian.AppendUint32(b, gsi)
}

// fixedMemory encodes a 32-bit fixed memory range descriptor (section 6.4.3.4):
// writable; u32 base, u32 length.
func fixedMemory(base, size uint32) []byte {
	b := []byte{0x86, 9, 0, 1}
	b = binary.LittleEndian.AppendUint32(b, base)
	return binary.LittleEndian.AppendUint32(b, size)
}
