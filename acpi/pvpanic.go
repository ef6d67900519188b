package acpi

// pvPanic describes internal/device/pvpanic: QEMU0001 with a port of one byte.
func pvPanic(port uint16) []byte {
	return dev("PEVT",
		name("_HID", str("QEMU0001")),
		name("_UID", integer(0)),
		name("_CRS", resources(ioPorts(port, 1))),
	)
}

// checkPlain checks what has ports or an address and no interrupt.
func (c *Config) checkPlain(bad func(string, ...any) error) error {
	if c.VMGenID%vmGenIDAlign != 0 {
		return bad("a generation id at %#x, expected a multiple of %d", c.VMGenID, vmGenIDAlign)
	}
	if err := c.Watchdog.check(bad); err != nil {
		return err
	}
	plain := [...]struct {
		port uint16
		n    int
	}{{c.PVPanic, 1}, {c.Watchdog.Port, watchdogPorts}}
	for i, d := range plain {
		if d.port == 0 {
			continue
		}
		if int(d.port)+d.n > 1<<16 {
			return bad("%d ports from %#x on: there are no more than 65536", d.n, d.port)
		}
		clash := func(p uint16, m int) bool { return int(d.port) < int(p)+m && int(p) < int(d.port)+d.n }
		for _, e := range c.devices() {
			if p, m := e.ports(); clash(p, m) {
				return bad("ports %#x and %#x overlap", p, d.port)
			}
		}
		for _, e := range plain[:i] {
			if e.port != 0 && clash(e.port, e.n) {
				return bad("ports %#x and %#x overlap", e.port, d.port)
			}
		}
	}
	return nil
}
