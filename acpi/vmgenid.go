package acpi

// vmGenID describes the generation id at addr (Microsoft, "Virtual Machine
// Generation ID"): ADDR is its address, low and high half. Guests find it by
// _CID; Linux knows that in capitals, into which ACPICA turns ids.
func vmGenID(addr uint64) []byte {
	return dev("VGEN",
		name("_HID", str("MFLY0001")),
		name("_CID", str("VM_Gen_Counter")),
		name("_DDN", str("VM_Gen_Counter")),
		name("ADDR", pkg(integer(addr&(1<<32-1)), integer(addr>>32))),
	)
}

const vmGenIDAlign = 8

// powerDevice is Power, whose events say more where there is a generation id.
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
