package acpi

import "encoding/binary"

const (
	madtLAPIC   = 0
	madtIOAPIC  = 1
	madtISA     = 2 // interrupt source override
	madtX2APIC  = 9
	cpuEnabled  = 1
	maxXAPICID  = 254 // 255 addresses all processors
	maxXAPICUID = 254 // and 255 means all in an 8-bit processor UID
)

// madt returns the interrupt controller table (section 5.2.12): one local APIC
// a processor, x2APIC where the id needs it, and the I/O APIC. Its flags are 0:
// there is no 8259.
func madt(c *Config) []byte {
	le := binary.LittleEndian
	b := newTable("APIC", 5)
	b = le.AppendUint32(b, LAPICAddr)
	b = le.AppendUint32(b, 0)
	for uid, cpu := range c.CPUs {
		if cpu.APICID <= maxXAPICID && uid <= maxXAPICUID {
			b = append(b, madtLAPIC, 8, byte(uid), byte(cpu.APICID))
			b = le.AppendUint32(b, cpuEnabled)
			continue
		}
		b = append(b, madtX2APIC, 16, 0, 0)
		b = le.AppendUint32(b, cpu.APICID)
		b = le.AppendUint32(b, cpuEnabled)
		b = le.AppendUint32(b, uint32(uid))
	}
	b = append(b, madtIOAPIC, 12, c.IOAPIC.ID, 0)
	b = le.AppendUint32(b, c.IOAPIC.Addr)
	b = le.AppendUint32(b, c.IOAPIC.First)
	if irq, gsi, moved := c.override(); moved {
		const activeHighEdge = 0x5
		b = append(b, madtISA, 10, 0, byte(irq))
		b = le.AppendUint32(b, gsi)
		b = le.AppendUint16(b, activeHighEdge)
	}
	return sealTable(b)
}
