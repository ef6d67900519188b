package acpi

// vmGenID describes the generation id at addr (Microsoft, "Virtual Machine
// Generation ID"): ADDR is its address, low and high half. Guests find it by
// _CID; Linux compares it in capitals, to which ACPICA converts ids.
func vmGenID(addr uint64) []byte {
	return dev("VGEN",
		name("_HID", str("MFLY0001")),
		name("_CID", str("VM_Gen_Counter")),
		name("_DDN", str("VM_Gen_Counter")),
		name("ADDR", pkg(integer(addr&(1<<32-1)), integer(addr>>32))),
	)
}

const vmGenIDAlign = 8

// powerDevice is Power, whose events include that of the generation id where there is
// one.
type powerDevice struct {
	Power
	renews bool
}

func (p powerDevice) aml() []byte {
	if !p.renews {
		return p.Power.describe()
	}
	return p.Power.describe(ifTrue(and(local0, integer(EventGeneration)),
		notify(`\_SB_.VGEN`, 0x80),
	))
}
