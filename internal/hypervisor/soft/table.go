package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

type exec = func(c *CPU, u *uop) status

// handler is what executes an instruction; nil: it is not there, which is #UD.
func handler(in *decode.Inst) exec {
	switch in.Map {
	case decode.One:
		return handlerOne(in)
	case decode.Two:
		return handlerTwo(in)
	case decode.Op3A:
		return unit
	case decode.Op38:
		if in.Opcode&^1 == 0xF0 {
			switch {
			case in.Rep == 0xF2:
				return crc32
			case in.Mem && in.Rep == 0:
				return movbe
			}
			return nil
		}
		return unit
	}
	return nil
}

func handlerOne(in *decode.Inst) exec {
	o := in.Opcode
	if o < 0x40 {
		switch o & 7 {
		case 0, 1:
			return aluToRM
		case 2, 3:
			return aluFromRM
		case 4, 5:
			return aluAccumulator
		case 6:
			if o < 0x20 {
				return pushSegment
			}
		case 7:
			if o < 0x20 {
				return popSegment
			}
			return ones[o]
		}
		return nil
	}
	switch o & 0xF8 {
	case 0x40, 0x48:
		return incDecReg
	case 0xD8:
		return unit
	case 0x50:
		return pushReg
	case 0x58:
		return popReg
	case 0x70, 0x78:
		return jcc
	case 0x90:
		if o == 0x90 && in.Rep == 0xF3 {
			return pause
		}
		if o == 0x90 && in.RM == 0 {
			return nothing
		}
		return xchgAccumulator
	case 0xB0, 0xB8:
		return movImmReg
	}
	return ones[o]
}

var ones = [256]exec{
	0x27: decimal, 0x2F: decimal, 0x37: decimal, 0x3F: decimal,
	0x62: bound, 0x63: extendOrAdjust, 0x82: aluImm, 0x9A: callFar, 0xC4: loadFar, 0xC5: loadFar, 0xC8: enter, 0xD4: decimalPair, 0xD5: decimalPair, 0xD6: salc,
	0xD7: xlat, 0xF1: icebp, 0x68: pushImm, 0x6A: pushImm, 0x69: imulImm, 0x6B: imulImm,
	0x80: aluImm, 0x81: aluImm, 0x83: aluImm, 0x84: test, 0x85: test, 0x86: xchg, 0x87: xchg,
	0x88: movToRM, 0x89: movToRM, 0x8A: movFromRM, 0x8B: movFromRM, 0x8D: lea, 0x8F: popRM,
	0x60: pushAll, 0x61: popAll, 0x6C: ins, 0x6D: ins, 0x6E: outs, 0x6F: outs, 0x8C: movFromSegment, 0x8E: movToSegment, 0x9B: unit, 0x9C: pushf, 0x9D: popf,
	0xCA: retFar, 0xCB: retFar, 0xCC: intN, 0xCD: intN, 0xCE: intN, 0xCF: iret, 0xEA: jmpFar,
	0xE4: in, 0xE5: in, 0xE6: out, 0xE7: out, 0xEC: in, 0xED: in, 0xEE: out, 0xEF: out,
	0xF4: hlt, 0xFA: interruptFlag, 0xFB: interruptFlag,
	0x98: widen, 0x99: widenPair, 0x9E: sahf, 0x9F: lahf,
	0xA0: movOffset, 0xA1: movOffset, 0xA2: movOffset, 0xA3: movOffset,
	0xA4: movs, 0xA5: movs, 0xA6: cmps, 0xA7: cmps, 0xA8: testAccumulator, 0xA9: testAccumulator,
	0xAA: stos, 0xAB: stos, 0xAC: lods, 0xAD: lods, 0xAE: scas, 0xAF: scas,
	0xC0: shift, 0xC1: shift, 0xC2: ret, 0xC3: ret, 0xC6: movImmRM, 0xC7: movImmRM, 0xC9: leave,
	0xD0: shift, 0xD1: shift, 0xD2: shift, 0xD3: shift,
	0xE0: loop, 0xE1: loop, 0xE2: loop, 0xE3: loop, 0xE8: call, 0xE9: jmp, 0xEB: jmp,
	0xF5: carryFlag, 0xF6: group3, 0xF7: group3, 0xF8: carryFlag, 0xF9: carryFlag, 0xFC: directionFlag, 0xFD: directionFlag,
	0xFE: incDec, 0xFF: group5,
}

func handlerTwo(in *decode.Inst) exec {
	switch in.Opcode & 0xF0 {
	case 0x40:
		return cmov
	case 0x80:
		return jcc
	case 0x90:
		return setcc
	}
	if in.Opcode&^7 == 0xC8 {
		return bswap
	}
	if in.Opcode == 0xB8 {
		if in.Rep == 0xF3 {
			return popcnt
		}
		return nil
	}
	if do := twos[in.Opcode]; do != nil {
		return do
	}
	if sse(in.Opcode) {
		return unit
	}
	return nil
}

// sse reports whether an opcode of the second map is one of MMX or SSE.
func sse(o uint8) bool {
	switch {
	case o >= 0x10 && o <= 0x17, o >= 0x28 && o <= 0x2F, o >= 0x50 && o <= 0x77, o == 0x7C, o == 0x7D, o == 0x7E, o == 0x7F, o == 0xC2,
		o >= 0xC4 && o <= 0xC6, o >= 0xD0 && o <= 0xFE:
		return true
	}
	return false
}

var twos = [256]exec{
	0x00: group6, 0x01: group7, 0x02: accessRights, 0x03: accessRights, 0x05: syscall, 0x06: clts, 0x07: sysret,
	0x08: invalidate, 0x09: invalidate, 0x20: movCR, 0x21: movDR, 0x22: movCR, 0x23: movDR,
	0x30: wrmsr, 0x31: rdtsc, 0x32: rdmsr, 0x33: rdpmc, 0x34: sysenter, 0x35: sysexit, 0xA2: cpuid, 0xAE: group15,
	0xA0: pushSegment, 0xA1: popSegment, 0xA8: pushSegment, 0xA9: popSegment, 0xB2: loadFar, 0xB4: loadFar, 0xB5: loadFar,
	0x0D: nothing, 0x18: nothing, 0x19: nothing, 0x1A: nothing, 0x1B: nothing, 0x1C: nothing, 0x1D: nothing, 0x1E: nothing, 0x1F: nothing,
	0xA3: bit, 0xAB: bit, 0xB3: bit, 0xBB: bit, 0xBA: bitImm,
	0xA4: doubleShift, 0xA5: doubleShift, 0xAC: doubleShift, 0xAD: doubleShift, 0xAF: imul,
	0xB0: cmpxchg, 0xB1: cmpxchg, 0xB6: extend, 0xB7: extend, 0xBE: extend, 0xBF: extend, 0xBC: scan, 0xBD: scan,
	0xC0: xadd, 0xC1: xadd, 0xC3: movToRM, 0xC7: cmpxchgPair,
}
