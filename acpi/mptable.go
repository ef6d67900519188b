package acpi

import (
	"encoding/binary"
	"fmt"
)

// Entries of an MP configuration table (MP 1.4, section 4.3).
const (
	mpProcessor = 0
	mpBus       = 1
	mpIOAPIC    = 2
	mpInterrupt = 3
	mpLocal     = 4

	mpHeaderSize   = 44
	mpFloatingSize = 16
	mpRevision     = 4 // of the specification: 1.4

	mpCPUEnabled = 1 << 0
	mpCPUBoot    = 1 << 1
	// Signature and features matter to no guest that has CPUID: family 6, with
	// an FPU and an APIC.
	mpCPUSignature = 0x600
	mpCPUFeatures  = 1<<0 | 1<<9

	mpLAPICVersion  = 0x14
	mpIOAPICVersion = 0x11
	mpIOAPICEnabled = 1
	mpINT           = 0
	mpNMI           = 1
	mpAllAPICs      = 0xFF
	isaIRQs         = 16
	// conventionalEnd is where base memory ends at the latest.
	conventionalEnd = 0xA0000
)

// MPTable returns the floating pointer of the MP specification 1.4 for address
// base, a multiple of 16, followed by the configuration table. It describes
// processors, one ISA bus, and on the I/O APIC's pins those of the ISA interrupts 0
// to 15 whose GSI of the same number has one, and those of virtio devices. (Linux
// without a legacy PIC uses the pins' numbers alone and needs GSIs from 0 on.)
//
// Guests search for the pointer in the last KiB below 640 KiB and from 0xF0000 to
// 0xFFFFF. A table that begins below 640 KiB must end there, which leaves room
// for about 40 processors from 0x9FC00 on. APIC ids above 254 can't be
// written; such processors are left out.
//
// Errors match ErrConfig or ErrPlace.
func MPTable(base uint64, c Config) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if base%16 != 0 {
		return nil, fmt.Errorf("acpi: MP table: %w at %#x: expected a multiple of 16", ErrPlace, base)
	}
	if id := c.CPUs[0].APICID; id > maxXAPICID {
		return nil, fmt.Errorf("acpi: MP table: %w: the first processor has APIC id %d, expected at most %d", ErrConfig, id, maxXAPICID)
	}
	b := append(make([]byte, mpFloatingSize), mpConfig(&c)...)
	limit := uint64(lowEnd)
	if base < conventionalEnd {
		limit = conventionalEnd
	}
	if base > limit || uint64(len(b)) > limit-base {
		return nil, fmt.Errorf("acpi: MP table: %w: %d bytes at %#x must end at or below %#x; there is more room at 0xf0000",
			ErrPlace, len(b), base, limit)
	}
	putMPFloating(b, uint32(base)+mpFloatingSize)
	return b, nil
}

// putMPFloating writes the floating pointer (MP 1.4, section 4.1): signature, table at
// 4, length in units of 16 bytes at 8, revision at 9, checksum at 10, features
// at 11 (0: there is a table, and no IMCR).
func putMPFloating(b []byte, table uint32) {
	copy(b, "_MP_")
	binary.LittleEndian.PutUint32(b[4:], table)
	b[8], b[9] = mpFloatingSize/16, mpRevision
	b[10] = checksum(b[:mpFloatingSize])
}

// mpConfig returns the configuration table (MP 1.4, section 4.2): signature, u16 length
// at 4, revision at 6, checksum at 7, OEM id at 8, product at 16, u16 number of
// entries at 34, local APICs at 36.
func mpConfig(c *Config) []byte {
	le := binary.LittleEndian
	b := make([]byte, mpHeaderSize)
	copy(b, "PCMP")
	b[6] = mpRevision
	copy(b[8:], "MAYFLY  ")
	copy(b[16:], "MICROVM     ")
	le.PutUint32(b[36:], LAPICAddr)
	entries := uint16(0)
	add := func(entry []byte) { b, entries = append(b, entry...), entries+1 }

	for i, cpu := range c.CPUs {
		if cpu.APICID > maxXAPICID {
			continue
		}
		flags := byte(mpCPUEnabled)
		if i == 0 {
			flags |= mpCPUBoot
		}
		e := []byte{mpProcessor, byte(cpu.APICID), mpLAPICVersion, flags}
		e = le.AppendUint32(e, mpCPUSignature)
		e = le.AppendUint32(e, mpCPUFeatures)
		add(append(e, make([]byte, 8)...))
	}
	const isa = 0
	add([]byte{mpBus, isa, 'I', 'S', 'A', ' ', ' ', ' '})
	add(le.AppendUint32([]byte{mpIOAPIC, c.IOAPIC.ID, mpIOAPICVersion, mpIOAPICEnabled}, c.IOAPIC.Addr))
	irqs := make([]int, isaIRQs)
	for i := range irqs {
		irqs[i] = i
	}
	for _, v := range c.Virtio { // no ISA bus had more, and Linux has no such bound
		if v.GSI >= isaIRQs {
			irqs = append(irqs, int(v.GSI))
		}
	}
	for _, irq := range irqs {
		gsi := uint32(irq)
		if from, to, moved := c.override(); moved && irq == from {
			gsi = to
		} else if moved && gsi == to {
			continue
		}
		pin, ok := c.IOAPIC.pin(gsi)
		if !ok {
			continue
		}
		// Flags of 0: as the bus has it, for ISA edge-triggered and active high.
		add([]byte{mpInterrupt, mpINT, 0, 0, isa, byte(irq), c.IOAPIC.ID, byte(pin)})
	}
	add([]byte{mpLocal, mpNMI, 0, 0, isa, 0, mpAllAPICs, 1})

	le.PutUint16(b[4:], uint16(len(b)))
	le.PutUint16(b[34:], entries)
	b[7] = checksum(b)
	return b
}
