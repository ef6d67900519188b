package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// operandOf is the memory operand of an instruction of x87, MMX or SSE; n 0: there is none such.
func operandOf(in *decode.Inst) operand {
	switch in.Map {
	case decode.One:
		return operandX87(in)
	case decode.Two:
		return operandSSE(in)
	case decode.Op38:
		return operand38(in)
	}
	return operand3A(in)
}

func reads(n uint8) operand  { return operand{n: n, read: true} }
func writes(n uint8) operand { return operand{n: n, write: true} }

// byPrefix chooses by none, 66, F3 and F2.
func byPrefix(in *decode.Inst, none, p66, f3, f2 uint8) uint8 {
	switch {
	case in.Rep == 0xF3:
		return f3
	case in.Rep == 0xF2:
		return f2
	case in.Size66:
		return p66
	}
	return none
}

func general(in *decode.Inst) uint8 {
	if in.W {
		return 8
	}
	return 4
}

func operandSSE(in *decode.Inst) operand {
	packed := byPrefix(in, 8, 16, 16, 16)
	scalar := byPrefix(in, 16, 16, 4, 8)
	switch o := in.Opcode; {
	case o == 0x10:
		return reads(scalar)
	case o == 0x11:
		return writes(scalar)
	case o == 0x12 || o == 0x16:
		return reads(byPrefix(in, 8, 8, 16, 8))
	case o == 0x13 || o == 0x17:
		return writes(8)
	case o == 0x14, o == 0x15, o == 0x28, o == 0xC6, o == 0x7C, o == 0x7D, o == 0xD0, o == 0xF0, o == 0x5B:
		return reads(16)
	case o == 0x29, o == 0x2B:
		return writes(16)
	case o == 0x2A:
		return reads(byPrefix(in, 8, 8, general(in), general(in)))
	case o == 0x2C, o == 0x2D:
		return reads(byPrefix(in, 8, 16, 4, 8))
	case o == 0x2E, o == 0x2F:
		return reads(byPrefix(in, 4, 8, 4, 8))
	case o == 0x5A:
		return reads(byPrefix(in, 8, 16, 4, 8))
	case o >= 0x51 && o <= 0x5F, o == 0xC2:
		return reads(scalar)
	case o >= 0x60 && o <= 0x62:
		return reads(byPrefix(in, 4, 16, 16, 16))
	case o == 0x6E:
		return reads(general(in))
	case o == 0x7E:
		if in.Rep == 0xF3 {
			return reads(8)
		}
		return writes(general(in))
	case o == 0x7F:
		return writes(packed)
	case o == 0xC4:
		return reads(2)
	case o == 0xD6:
		return writes(8)
	case o == 0xE6:
		return reads(byPrefix(in, 16, 16, 8, 16))
	case o == 0xE7:
		return writes(byPrefix(in, 8, 16, 16, 16))
	case o >= 0x63 && o <= 0x70, o >= 0x74 && o <= 0x76, o >= 0xD1 && o <= 0xFE:
		return reads(packed)
	}
	return operand{}
}

func operand38(in *decode.Inst) operand {
	o := in.Opcode
	if o >= 0x20 && o <= 0x25 || o >= 0x30 && o <= 0x35 {
		return reads([6]uint8{8, 4, 2, 8, 4, 8}[o&7])
	}
	return reads(byPrefix(in, 8, 16, 16, 16))
}

func operand3A(in *decode.Inst) operand {
	switch in.Opcode {
	case 0x0A:
		return reads(4)
	case 0x0B:
		return reads(8)
	case 0x0F:
		return reads(byPrefix(in, 8, 16, 16, 16))
	case 0x14:
		return writes(1)
	case 0x15:
		return writes(2)
	case 0x16:
		return writes(general(in))
	case 0x17:
		return writes(4)
	case 0x20:
		return reads(1)
	case 0x21:
		return reads(4)
	case 0x22:
		return reads(general(in))
	}
	return reads(16)
}

// operandX87 is by opcode and extension.
func operandX87(in *decode.Inst) operand {
	r, w := reads, writes
	none := operand{}
	env, all := uint8(28), uint8(108) // of FLDENV and FRSTOR
	if in.OperandSize == 2 {
		env, all = 14, 94
	}
	return [8][8]operand{
		{r(4), r(4), r(4), r(4), r(4), r(4), r(4), r(4)},
		{r(4), none, w(4), w(4), r(env), r(2), w(env), w(2)},
		{r(4), r(4), r(4), r(4), r(4), r(4), r(4), r(4)},
		{r(4), w(4), w(4), w(4), none, r(10), none, w(10)},
		{r(8), r(8), r(8), r(8), r(8), r(8), r(8), r(8)},
		{r(8), w(8), w(8), w(8), r(all), none, w(all), w(2)},
		{r(2), r(2), r(2), r(2), r(2), r(2), r(2), r(2)},
		{r(2), w(2), w(2), w(2), r(10), r(8), w(10), w(8)},
	}[in.Opcode&7][in.Ext()]
}

// aligned reports whether an operand of 16 bytes must be aligned.
func aligned(in *decode.Inst) bool {
	switch o := in.Opcode; in.Map {
	case decode.Two: // MOVUPS, MOVUPD, MOVDQU, LDDQU
		return o != 0x10 && o != 0x11 && o != 0xF0 && (o != 0x6F && o != 0x7F || in.Rep != 0xF3)
	case decode.Op3A: // PCMPESTRM and such
		return o&^3 != 0x60
	}
	return true
}
