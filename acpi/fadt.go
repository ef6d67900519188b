package acpi

import "encoding/binary"

// Fields of the FADT, revision 6 (section 5.2.9).
const (
	fadtDSDT         = 40  // u32
	fadtProfile      = 45  // u8
	fadtBootArch     = 109 // u16
	fadtFlags        = 112 // u32
	fadtResetReg     = 116 // generic address
	fadtResetValue   = 128 // u8
	fadtMinor        = 131 // u8
	fadtXDSDT        = 140 // u64
	fadtSleepControl = 244 // generic address
	fadtSleepStatus  = 256 // generic address
	fadtHypervisor   = 268 // 8 bytes
	fadtSize         = 276
)

const (
	profileServer = 4

	// IA-PC boot architecture flags (section 5.2.9.3). LEGACY_DEVICES (bit 0) and 8042
	// (bit 1) are clear.
	bootNoVGA  = 1 << 2
	bootNoCMOS = 1 << 5

	// Fixed feature flags (section 5.2.9, table 5.10).
	flagWBINVD      = 1 << 0
	flagC1          = 1 << 2
	flagPowerButton = 1 << 4 // not a fixed button: a device of the DSDT, or none
	flagSleepButton = 1 << 5
	flagFixedRTC    = 1 << 6 // no RTC wake-up in fixed registers
	flagResetReg    = 1 << 10
	flagHeadless    = 1 << 12
	flagHWReduced   = 1 << 20
)

// fadt returns the fixed description table of a hardware-reduced machine. Its
// fixed registers and the FACS stay 0.
func fadt(c *Config, dsdt uint64) []byte {
	le := binary.LittleEndian
	b := append(newTable("FACP", 6), make([]byte, fadtSize-headerSize)...)
	// Both fields have the DSDT's address, for guests that read the older one only;
	// they may not differ.
	le.PutUint32(b[fadtDSDT:], uint32(dsdt))
	le.PutUint64(b[fadtXDSDT:], dsdt)
	b[fadtProfile] = profileServer
	le.PutUint16(b[fadtBootArch:], bootNoVGA|bootNoCMOS)
	le.PutUint32(b[fadtFlags:], flagWBINVD|flagC1|flagPowerButton|flagSleepButton|flagFixedRTC|
		flagResetReg|flagHeadless|flagHWReduced)
	putPort(b[fadtResetReg:], c.Power.Port+offReset)
	b[fadtResetValue] = ResetValue
	b[fadtMinor] = 5
	putPort(b[fadtSleepControl:], c.Power.Port+offSleepControl)
	putPort(b[fadtSleepStatus:], c.Power.Port+offSleepStatus)
	copy(b[fadtHypervisor:], oemID)
	return sealTable(b)
}

// putPort writes the generic address of a port of one byte (section 5.2.3.2): space,
// width in bits, bit offset, access size, u64 address.
func putPort(b []byte, port uint16) {
	b[0], b[1], b[2], b[3] = spaceIO, 8, 0, 1
	binary.LittleEndian.PutUint64(b[4:], uint64(port))
}
