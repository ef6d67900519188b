package acpi

import (
	"encoding/binary"
	"fmt"
)

// Tables is a set of tables for one place in guest memory.
type Tables struct {
	Bytes []byte // for the address that Build was given
	RSDP  uint64 // address of the root pointer
}

const (
	tableAlign = 16
	rsdpSize   = 36
	// lowEnd ends the memory below 1 MiB, where a guest that isn't given the RSDP's
	// address searches for it; kernels are loaded from there on.
	lowEnd = 0x10_0000
)

// Build returns the tables of the machine c for address base, a multiple of 16.
// The root pointer comes first: at 0xE0000 a guest finds it by itself too
// (section 5.2.5.1). Tables that begin below 1 MiB must end there, others must
// end below 4 GiB.
//
// Errors match ErrConfig or ErrPlace.
func Build(base uint64, c Config) (Tables, error) {
	if err := c.check(); err != nil {
		return Tables{}, err
	}
	if base%tableAlign != 0 {
		return Tables{}, fmt.Errorf("acpi: %w at %#x: expected a multiple of %d", ErrPlace, base, tableAlign)
	}
	// The room for the RSDP stays open until the XSDT's address is known.
	b := make([]byte, rsdpSize)
	put := func(table []byte) uint64 {
		b = append(b, make([]byte, -len(b)&(tableAlign-1))...)
		addr := base + uint64(len(b))
		b = append(b, table...)
		return addr
	}
	dsdtAddr := put(dsdt(&c))
	fadtAddr := put(fadt(&c, dsdtAddr))
	madtAddr := put(madt(&c))
	list := []uint64{fadtAddr, madtAddr}
	if c.PCI != nil {
		list = append(list, put(mcfg(c.PCI)))
	}
	if c.Watchdog.Port != 0 {
		list = append(list, put(wdat(c.Watchdog)))
	}
	xsdtAddr := put(xsdt(list...))
	copy(b, rsdp(xsdtAddr))

	limit := uint64(1 << 32)
	if base < lowEnd {
		limit = lowEnd
	}
	if base > limit || uint64(len(b)) > limit-base {
		return Tables{}, fmt.Errorf("acpi: %w: %d bytes at %#x must end at or below %#x", ErrPlace, len(b), base, limit)
	}
	return Tables{Bytes: b, RSDP: base}, nil
}

// rsdp returns a root pointer of revision 2 (section 5.2.5.3): signature, checksum of
// the first 20 bytes at 8, OEM id at 9, revision at 15, no RSDT at 16, length
// at 20, XSDT at 24, checksum of the whole at 32.
func rsdp(xsdt uint64) []byte {
	b := make([]byte, rsdpSize)
	copy(b, "RSD PTR ")
	copy(b[9:], oemID)
	b[15] = 2
	binary.LittleEndian.PutUint32(b[20:], rsdpSize)
	binary.LittleEndian.PutUint64(b[24:], xsdt)
	b[8] = checksum(b[:20])
	b[32] = checksum(b)
	return b
}

// xsdt returns the table of tables (section 5.2.8).
func xsdt(tables ...uint64) []byte {
	b := newTable("XSDT", 1)
	for _, t := range tables {
		b = binary.LittleEndian.AppendUint64(b, t)
	}
	return sealTable(b)
}

const (
	headerSize = 36
	oemID      = "MAYFLY"
	oemTableID = "MAYFLYVM"
	creatorID  = "MFLY"
)

// newTable returns the header that tables begin with (section 5.2.6): signature, length at
// 4, revision at 8, checksum at 9, OEM id at 10, OEM table id at 16, OEM
// revision at 24, creator id at 28 and its revision at 32. sealTable fills in
// length and checksum.
func newTable(signature string, revision byte) []byte {
	b := make([]byte, headerSize, 512)
	copy(b, signature)
	b[8] = revision
	copy(b[10:], oemID)
	copy(b[16:], oemTableID)
	binary.LittleEndian.PutUint32(b[24:], 1)
	copy(b[28:], creatorID)
	binary.LittleEndian.PutUint32(b[32:], 1)
	return b
}

// sealTable writes length and checksum into a table that is complete.
func sealTable(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
	b[9] = checksum(b)
	return b
}

// checksum returns the byte that makes the sum of b, in which it counts as 0,
// 0 modulo 256.
func checksum(b []byte) byte {
	var sum byte
	for _, c := range b {
		sum += c
	}
	return -sum
}
