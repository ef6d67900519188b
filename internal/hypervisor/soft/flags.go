package soft

import "math/bits"

// Status flags, and DF, in RFLAGS.
const (
	flagCF = 1 << 0
	flagPF = 1 << 2
	flagAF = 1 << 4
	flagZF = 1 << 6
	flagSF = 1 << 7
	flagDF = 1 << 10
	flagOF = 1 << 11

	flagsStatus = flagCF | flagPF | flagAF | flagZF | flagSF | flagOF
)

// kind is what has set the status flags last. They are worked out when something reads them.
type kind uint8

const (
	kindBits    kind = iota // they are in bits
	kindAdd                 // of res = a + b
	kindSub                 // of res = a - b
	kindAddKeep             // of res = a + b, but CF is in bits
	kindSubKeep             // of res = a - b, but CF is in bits
	kindLogic               // of res; CF, OF and AF are 0
	kindShift               // of res; CF and OF are in bits, AF is 0
)

// flags are the status flags as they come to be, and the rest of RFLAGS.
type flags struct {
	kind      kind
	shift     uint8 // 64 less the operands' bits: values are at the upper end of 64
	a, b, res uint64
	bits      uint64
	other     uint64 // RFLAGS without status flags
}

// shiftOf is what moves values of n bytes to the upper end of 64 bits.
func shiftOf(n uint8) uint8 { return 64 - 8*n }

func (f *flags) set(k kind, size uint8, a, b, res uint64) {
	s := shiftOf(size)
	f.kind, f.shift, f.a, f.b, f.res = k, s, a<<s, b<<s, res<<s
}

// setBits sets the status flags of a mask.
func (f *flags) setBits(mask, bits uint64) {
	f.bits = f.status()&^mask | bits&mask
	f.kind = kindBits
}

func (f *flags) carry() bool {
	switch f.kind {
	case kindAdd:
		return f.res < f.a
	case kindSub:
		return f.a < f.b
	case kindLogic:
		return false
	}
	return f.bits&flagCF != 0
}

func (f *flags) zero() bool {
	if f.kind == kindBits {
		return f.bits&flagZF != 0
	}
	return f.res == 0
}

func (f *flags) sign() bool {
	if f.kind == kindBits {
		return f.bits&flagSF != 0
	}
	return int64(f.res) < 0
}

func (f *flags) overflow() bool {
	switch f.kind {
	case kindAdd, kindAddKeep:
		return int64((f.a^f.res)&(f.b^f.res)) < 0
	case kindSub, kindSubKeep:
		return int64((f.a^f.b)&(f.a^f.res)) < 0
	case kindLogic:
		return false
	}
	return f.bits&flagOF != 0
}

func (f *flags) parity() bool {
	if f.kind == kindBits {
		return f.bits&flagPF != 0
	}
	return bits.OnesCount8(uint8(f.res>>f.shift))&1 == 0
}

func (f *flags) adjust() bool {
	switch f.kind {
	case kindAdd, kindSub, kindAddKeep, kindSubKeep:
		return (f.a^f.b^f.res)>>f.shift&0x10 != 0
	case kindLogic, kindShift:
		return false
	}
	return f.bits&flagAF != 0
}

// status are the status flags.
func (f *flags) status() uint64 {
	if f.kind == kindBits {
		return f.bits
	}
	return flag(f.carry(), flagCF) | flag(f.parity(), flagPF) | flag(f.adjust(), flagAF) |
		flag(f.zero(), flagZF) | flag(f.sign(), flagSF) | flag(f.overflow(), flagOF)
}

func flag(on bool, bit uint64) uint64 {
	if on {
		return bit
	}
	return 0
}

// ofResult are SF, ZF and PF of a result.
func ofResult(size uint8, res uint64) uint64 {
	r := res << shiftOf(size)
	return flag(r == 0, flagZF) | flag(int64(r) < 0, flagSF) | flag(bits.OnesCount8(uint8(res))&1 == 0, flagPF)
}

// Flags is RFLAGS.
func (c *CPU) Flags() uint64 { return c.flags.status() | c.flags.other | 2 }

// SetFlags sets RFLAGS.
func (c *CPU) SetFlags(v uint64) {
	c.flags = flags{bits: v & flagsStatus, other: v &^ (flagsStatus | 2)}
}

// condition reports whether one holds, by its number in Jcc, SETcc and CMOVcc.
func (c *CPU) condition(cc uint8) bool {
	f := &c.flags
	var v bool
	switch cc >> 1 {
	case 0:
		v = f.overflow()
	case 1:
		v = f.carry()
	case 2:
		v = f.zero()
	case 3:
		v = f.carry() || f.zero()
	case 4:
		v = f.sign()
	case 5:
		v = f.parity()
	case 6:
		v = f.sign() != f.overflow()
	case 7:
		v = f.zero() || f.sign() != f.overflow()
	}
	return v != (cc&1 != 0)
}
