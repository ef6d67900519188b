package soft

// Flags of system software.
const (
	flagTF   = 1 << 8
	flagIF   = 1 << 9
	flagIOPL = 3 << 12
	flagNT   = 1 << 14
	flagRF   = 1 << 16
	flagVM   = 1 << 17
	flagAC   = 1 << 18
	flagVIF  = 1 << 19
	flagVIP  = 1 << 20
	flagID   = 1 << 21

	flagsKnown = flagsStatus | flagTF | flagIF | flagDF | flagIOPL | flagNT | flagRF | flagAC | flagID
)

func (c *CPU) iopl() uint8 { return uint8(c.flags.other >> 12 & 3) }

// flagsFrom is RFLAGS as POPF and IRET set it from a value of n bytes, at this privilege.
func (c *CPU) flagsFrom(v uint64, n uint8) uint64 {
	keep := uint64(flagVM | flagVIF | flagVIP)
	if c.cpl > 0 {
		keep |= flagIOPL
	}
	if c.cpl > c.iopl() {
		keep |= flagIF
	}
	if n == 2 {
		keep |= ^uint64(0xFFFF)
	}
	return v&^keep | c.Flags()&keep
}

// setFlags sets RFLAGS as the guest does, and has interrupts polled for.
func (c *CPU) setFlags(v uint64) {
	c.SetFlags(v & flagsKnown)
	c.findAlignment()
	c.attend.Store(true)
}
