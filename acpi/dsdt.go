package acpi

// dsdt returns the description of the devices (section 5.2.11.1).
func dsdt(c *Config) []byte {
	var devices []byte
	for _, d := range c.devices() {
		devices = append(devices, d.aml()...)
	}
	if c.PCI != nil {
		devices = append(devices, c.PCI.aml()...)
	}
	if c.VMGenID != 0 {
		devices = append(devices, vmGenID(c.VMGenID)...)
	}
	if c.PVPanic != 0 {
		devices = append(devices, pvPanic(c.PVPanic)...)
	}
	// Revision 2 makes integers 64 bits wide.
	b := newTable("DSDT", 2)
	b = append(b, scope(`\_SB_`, devices)...)
	b = append(b, name("_S5_", pkg(integer(SleepTypeS5), integer(0), integer(0), integer(0)))...)
	return sealTable(b)
}

func (s Serial) ports() (uint16, int) { return s.Port, serialPorts }
func (s Serial) gsi() uint32          { return s.GSI }

// aml describes a 16550A (PNP0501). It is the only one, so its name and UID are
// those of COM1.
func (s Serial) aml() []byte {
	return dev("COM1",
		name("_HID", eisaID("PNP0501")),
		name("_UID", integer(1)),
		name("_CRS", resources(ioPorts(s.Port, serialPorts), edgeInterrupt(s.GSI))),
	)
}

func (p Power) ports() (uint16, int) { return p.Port, powerPorts }
func (p Power) gsi() uint32          { return p.GSI }

// describe describes the power button (section 4.8.2.2.1.2) and the generic event
// device (section 5.6.9) whose interrupt reports it. _EVT reads the event status into
// Local0 once, which clears it; more is the AML for the other events.
func (p Power) describe(more ...[]byte) []byte {
	button := dev("PWRB",
		name("_HID", eisaID("PNP0C0C")),
		name("_UID", integer(0)),
	)
	events := dev("GED_",
		name("_HID", str("ACPI0013")),
		name("_UID", integer(0)),
		name("_CRS", resources(edgeInterrupt(p.GSI))),
		ioRegion("PWRR", p.Port+offEvent, 1),
		byteField("PWRR", "ESTS"),
		serialMethod("_EVT", 1,
			store(path("ESTS"), local0),
			ifTrue(and(local0, integer(EventPowerButton)),
				notify(`\_SB_.PWRB`, 0x80),
			),
			concat(more...),
		),
	)
	return append(button, events...)
}
