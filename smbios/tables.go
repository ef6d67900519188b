package smbios

// Handles: one a structure.
const (
	handleBIOS      = 0x0000
	handleSystem    = 0x0100
	handleChassis   = 0x0300
	handleProcessor = 0x0400
	handleOEM       = 0x0E00
	handleArray     = 0x1000
	handleMemory    = 0x1100
	handleMapped    = 0x1300
	handleBoot      = 0x2000
	handleEnd       = 0x7F00
	handleNone      = 0xFFFF
	handleNoError   = 0xFFFE
)

const unknown = 2

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (c *Config) tables() (b []byte) {
	maker := or(c.Manufacturer, "Mayfly")
	for _, s := range []*structure{c.bios(), c.system(maker), c.chassis(maker), c.processor(maker), c.oem()} {
		if s != nil {
			b = s.appendTo(b)
		}
	}
	b = c.memory(b)
	// Type 32 (section 7.33): six reserved bytes, status 0: no error.
	b = begin(32, handleBoot).u8(0, 0, 0, 0, 0, 0, 0).appendTo(b)
	return begin(127, handleEnd).appendTo(b)
}

// bios is type 0 (section 7.1). It exists for its bit "this is a virtual machine",
// by which some guests detect that they run in one.
func (c *Config) bios() *structure {
	const (
		unsupported    = 1 << 3 // characteristics: are not described
		virtualMachine = 1 << 4 // extension byte 2
	)
	return begin(0, handleBIOS).str("Mayfly").str("1").u16(0xE800).str("01/01/2026").u8(0).
		u64(unsupported).u8(0, virtualMachine).u8(0xFF, 0xFF, 0xFF, 0xFF).u16(0)
}

// system is type 1 (section 7.2).
func (c *Config) system(maker string) *structure {
	const powerSwitch = 6
	s := begin(1, handleSystem).str(maker).str(or(c.Product, "microVM")).str(c.Version).str(c.Serial)
	u := c.UUID
	// The first three fields are little-endian here (section 7.2.1).
	s.u8(u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6]).u8(u[8:]...)
	return s.u8(powerSwitch).str(c.SKU).str(c.Family)
}

// chassis is type 3 (section 7.4), required and empty but for the asset tag.
func (c *Config) chassis(maker string) *structure {
	const other, safe, none = 1, 3, 3
	return begin(3, handleChassis).str(maker).u8(other).str(c.Version).str(c.Serial).str(c.AssetTag).
		u8(safe, safe, safe, none).u32(0).u8(0, 0, 0, 0).str(c.SKU)
}

// processor is type 4 (section 7.5): one socket with all.
func (c *Config) processor(maker string) *structure {
	if c.CPUs == 0 {
		return nil
	}
	const (
		central   = 3
		populated = 1<<6 | 1 // enabled
		wide      = 1 << 2   // characteristics: 64-bit capable
	)
	few := byte(min(c.CPUs, 255)) // 255: see the 16-bit fields
	n := uint16(c.CPUs)
	return begin(4, handleProcessor).str("CPU 0").u8(central, unknown).str(maker).
		u64(0). // processor id: see CPUID
		u8(0).  // no version string: likewise
		u8(0).u16(0).u16(0).u16(0).u8(populated, unknown).
		u16(handleNone).u16(handleNone).u16(handleNone).
		u8(0, 0, 0).u8(few, few, few).u16(wide).u16(unknown).
		u16(n).u16(n).u16(n)
}

// oem is type 11 (section 7.12).
func (c *Config) oem() *structure {
	if len(c.OEM) == 0 {
		return nil
	}
	s := begin(11, handleOEM).u8(byte(len(c.OEM)))
	s.strings = c.OEM
	return s
}

// memory is types 16, 17 and 19 (sections 7.17, 7.18, 7.20): one array with one module.
func (c *Config) memory(b []byte) []byte {
	if c.Memory == 0 {
		return b
	}
	const (
		other, systemMemory, noECC = 1, 3, 3
		dimm, ram                  = 9, 7
		extended                   = 1 << 31 // KiB in the 64-bit field
		most                       = 0x7FFF  // MiB in the 16-bit field: see the 32-bit one
		lowEnd, highBase           = 3 << 30, 4 << 30
	)
	kib, mib := c.Memory>>10, c.Memory>>20
	a := begin(16, handleArray).u8(other, systemMemory, noECC)
	if kib < extended {
		a.u32(uint32(kib)).u16(handleNoError).u16(1).u64(0)
	} else {
		a.u32(extended).u16(handleNoError).u16(1).u64(c.Memory)
	}
	b = a.appendTo(b)

	size, long := uint16(min(mib, most)), uint32(0)
	if mib >= most {
		long = uint32(mib)
	}
	m := begin(17, handleMemory).u16(handleArray).u16(handleNoError).u16(0xFFFF).u16(0xFFFF).u16(size).
		u8(dimm, 0).str("DIMM 0").u8(0).u8(ram).u16(1 << 1).u16(0).str("").str("").str("").str("").u8(0).u32(long).u16(0)
	b = m.u16(0).u16(0).u16(0).appendTo(b)

	// RAM above the hole begins at 4 GiB (pvh.RAMRanges).
	b = mapped(b, 0, 0, min(c.Memory, lowEnd))
	if c.Memory > lowEnd {
		b = mapped(b, 1, highBase, c.Memory-lowEnd)
	}
	return b
}

func mapped(b []byte, i uint16, base, size uint64) []byte {
	s := begin(19, handleMapped+i)
	if end := base + size - 1; end>>10 < 1<<32-1 {
		s.u32(uint32(base >> 10)).u32(uint32(end >> 10)).u16(handleArray).u8(1).u64(0).u64(0)
	} else {
		s.u32(1<<32 - 1).u32(1<<32 - 1).u16(handleArray).u8(1).u64(base).u64(end)
	}
	return s.appendTo(b)
}
