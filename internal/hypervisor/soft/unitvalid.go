package soft

import (
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/native"
)

// Which instructions the host's processor executes for the guest. It must be exactly those that are
// defined and that touch nothing but registers and the operand in Scratch: an undefined one would
// end this process, and MASKMOVQ and MASKMOVDQU (0F F7) write where RDI says.
// Source: Intel SDM volume 2, appendix A.

// Prefixes that an opcode may have, as bits.
const (
	prefixNone = 1 << iota
	prefix66
	prefixF3
	prefixF2

	prefixPacked = prefixNone | prefix66
	prefixAll    = prefixPacked | prefixF3 | prefixF2
)

func prefixOf(in *decode.Inst) uint8 {
	switch {
	case in.Rep == 0xF3:
		return prefixF3
	case in.Rep == 0xF2:
		return prefixF2
	case in.Size66:
		return prefix66
	}
	return prefixNone
}

// unitDefined reports whether an instruction is one of those.
func unitDefined(in *decode.Inst) bool {
	p := prefixOf(in)
	switch in.Map {
	case decode.One:
		return definedX87(in)
	case decode.Two:
		return prefixesTwo(in.Opcode)&p != 0 && definedForm(in, p)
	case decode.Op38:
		return prefixes38(in.Opcode)&p != 0
	}
	return prefixes3A(in.Opcode)&p != 0
}

func prefixesTwo(o uint8) uint8 {
	switch o {
	case 0x10, 0x11, 0x12, 0x2A, 0x2C, 0x2D, 0x51, 0x58, 0x59, 0x5A, 0x5C, 0x5D, 0x5E, 0x5F, 0x70, 0xC2:
		return prefixAll
	case 0x16, 0x5B, 0x6F, 0x7E, 0x7F:
		return prefixPacked | prefixF3
	case 0x52, 0x53:
		return prefixNone | prefixF3
	case 0x6C, 0x6D:
		return prefix66
	case 0x77:
		return prefixNone
	case 0x7C, 0x7D, 0xD0:
		return prefix66 | prefixF2
	case 0xD6, 0xE6:
		return prefix66 | prefixF3 | prefixF2
	case 0xF0:
		return prefixF2
	case 0x13, 0x14, 0x15, 0x17, 0x28, 0x29, 0x2B, 0x2E, 0x2F, 0x50, 0x54, 0x55, 0x56, 0x57, 0x6E, 0xC4, 0xC5, 0xC6:
		return prefixPacked
	case 0xF7, 0xFF:
		return 0
	}
	if o >= 0x60 && o <= 0x76 || o >= 0xD1 && o <= 0xFE {
		return prefixPacked
	}
	return 0
}

// definedForm reports whether an opcode has the form, of a register or memory, with that prefix.
func definedForm(in *decode.Inst, p uint8) bool {
	switch in.Opcode {
	case 0x12, 0x16:
		return in.Mem || p != prefix66
	case 0x13, 0x17, 0x2B, 0xE7, 0xF0:
		return in.Mem
	case 0x50, 0xC5, 0xD7, 0x71, 0x72, 0x73:
		return !in.Mem
	case 0xD6:
		return p == prefix66 || !in.Mem
	}
	return true
}

func prefixes38(o uint8) uint8 {
	switch {
	case o <= 0x0B, o >= 0x1C && o <= 0x1E:
		return prefixPacked
	case o >= 0xDB && o <= 0xDF:
		if native.HostFeatures().AES {
			return prefix66
		}
	case o == 0x10, o == 0x14, o == 0x15, o == 0x17, o >= 0x20 && o <= 0x25, o >= 0x28 && o <= 0x2B, o >= 0x30 && o <= 0x35, o >= 0x37 && o <= 0x41:
		return prefix66
	}
	return 0
}

func prefixes3A(o uint8) uint8 {
	switch {
	case o == 0x0F:
		return prefixPacked
	case o == 0x44 && native.HostFeatures().PCLMULQDQ, o == 0xDF && native.HostFeatures().AES:
		return prefix66
	case o >= 0x08 && o <= 0x0E, o >= 0x14 && o <= 0x17, o >= 0x20 && o <= 0x22, o >= 0x40 && o <= 0x42, o >= 0x60 && o <= 0x63:
		return prefix66
	}
	return 0
}

// definedX87 is unitDefined of x87: by the second byte, where that names registers.
func definedX87(in *decode.Inst) bool {
	if in.Opcode == 0x9B {
		return true
	}
	if in.Mem {
		return operandX87(in).n != 0
	}
	b := 0xC0 | in.Ext()<<3 | uint8(in.RM)&7
	switch in.Opcode {
	case 0xD9:
		return b <= 0xD0 || b >= 0xD8 && b <= 0xE1 || b == 0xE4 || b == 0xE5 || b >= 0xE8 && b != 0xEF
	case 0xDA:
		return b < 0xE0 || b == 0xE9
	case 0xDB:
		return b < 0xE5 || b >= 0xE8 && b < 0xF8
	case 0xDD:
		return b < 0xF0
	case 0xDE:
		return b < 0xD8 || b == 0xD9 || b >= 0xE0
	case 0xDF:
		return b <= 0xE0 || b >= 0xE8 && b < 0xF8
	}
	return true
}
