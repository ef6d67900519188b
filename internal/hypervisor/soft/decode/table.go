package decode

import "sync"

// attributes are what an opcode's encoding is known by.
type attributes uint16

const (
	modRM     attributes = 1 << iota
	imm8                 // sign-extended
	imm16                // zero-extended
	imm8More             // a second immediate
	immZ                 // of 16 bits, or 32 where operands have more
	immV                 // as wide as the operand
	offset               // as wide as addresses
	far                  // offset and segment
	bytes                // operands of 8 bits
	default64            // operands of 64 bits in 64-bit mode, or 16
	force64              // operands of 64 bits in 64-bit mode
	not64                // undefined in 64-bit mode
	only64               // undefined in other modes
	memory               // a register operand is undefined
	register             // a memory operand is undefined
	undefined            // in all modes, or a processor with what we do not offer
)

// alu are the attributes of the first six opcodes of each row of ADD to CMP.
var alu = [6]attributes{modRM | bytes, modRM, modRM | bytes, modRM, imm8 | bytes, immZ}

// table has the attributes of a map's opcodes.
type table [256]attributes

func (t *table) set(a attributes, opcodes ...int) {
	for _, o := range opcodes {
		t[o] = a
	}
}

func (t *table) span(a attributes, first, last int) {
	for o := first; o <= last; o++ {
		t[o] = a
	}
}

// oneByte and twoByte are the attributes of the first two maps: made when the first instruction is
// decoded, so that programs which decode none do not pay for them.
var oneByte = sync.OnceValue(func() *table {
	t := new(table)
	for row := 0; row < 0x40; row += 8 {
		copy(t[row:], alu[:])
		t.set(not64, row+6, row+7) // segment registers, decimal adjustment
	}
	// 0x40 to 0x4F: INC and DEC, which are REX in 64-bit mode; 0x26, 0x2E … and 0x0F do not come here.
	t.span(default64, 0x50, 0x5F)
	t.set(not64, 0x60, 0x61)
	t.set(modRM|memory|not64, 0x62)
	t.set(modRM, 0x63, 0x69, 0x6B)
	t.set(default64|immZ, 0x68)
	t.set(modRM|immZ, 0x69)
	t.set(default64|imm8, 0x6A)
	t.set(modRM|imm8, 0x6B)
	t.set(bytes, 0x6C, 0x6E)
	t.span(force64|imm8, 0x70, 0x7F)
	t.set(modRM|imm8|bytes, 0x80)
	t.set(modRM|immZ, 0x81)
	t.set(modRM|imm8|bytes|not64, 0x82)
	t.set(modRM|imm8, 0x83)
	t.set(modRM|bytes, 0x84, 0x86, 0x88, 0x8A)
	t.set(modRM, 0x85, 0x87, 0x89, 0x8B, 0x8C, 0x8E)
	t.set(modRM|memory, 0x8D)
	t.set(modRM|default64, 0x8F)
	t.set(far|not64, 0x9A, 0xEA)
	t.set(default64, 0x9C, 0x9D)
	t.set(offset|bytes, 0xA0, 0xA2)
	t.set(offset, 0xA1, 0xA3)
	t.set(bytes, 0xA4, 0xA6, 0xAA, 0xAC, 0xAE)
	t.set(imm8|bytes, 0xA8)
	t.set(immZ, 0xA9)
	t.span(imm8|bytes, 0xB0, 0xB7)
	t.span(immV, 0xB8, 0xBF)
	t.set(modRM|imm8|bytes, 0xC0)
	t.set(modRM|imm8, 0xC1)
	t.set(force64|imm16, 0xC2)
	t.set(force64, 0xC3)
	t.set(modRM|memory|not64, 0xC4, 0xC5)
	t.set(modRM|imm8|bytes, 0xC6)
	t.set(modRM|immZ, 0xC7)
	t.set(default64|imm16|imm8More, 0xC8)
	t.set(default64, 0xC9)
	t.set(imm16, 0xCA)
	t.set(imm8, 0xCD)
	t.set(not64, 0xCE)
	t.set(modRM|bytes, 0xD0, 0xD2)
	t.set(modRM, 0xD1, 0xD3)
	t.set(imm8|not64, 0xD4, 0xD5)
	t.set(not64, 0xD6)
	t.span(modRM, 0xD8, 0xDF)
	t.span(force64|imm8, 0xE0, 0xE3)
	t.set(imm8|bytes, 0xE4, 0xE6)
	t.set(imm8, 0xE5, 0xE7)
	t.set(force64|immZ, 0xE8, 0xE9)
	t.set(force64|imm8, 0xEB)
	t.set(bytes, 0xEC, 0xEE)
	t.set(modRM|imm8|bytes, 0xF6)
	t.set(modRM|immZ, 0xF7)
	t.set(modRM|bytes, 0xFE)
	t.set(modRM, 0xFF)
	return t
})

var twoByte = sync.OnceValue(func() *table {
	t := new(table)
	for o := range t {
		t[o] = modRM // most have one
	}
	t.set(0, 0x06, 0x08, 0x09, 0x0B, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x77, 0xA2, 0xAA)
	t.set(only64, 0x05, 0x07) // SYSCALL and SYSRET: not on Intel's processors in other modes
	t.set(undefined, 0x04, 0x0A, 0x0C, 0x0E, 0x0F, 0x24, 0x25, 0x26, 0x27, 0x36, 0x37, 0x39, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x78, 0x79, 0x7A, 0x7B, 0xA6, 0xA7)
	t.span(modRM|force64, 0x20, 0x23) // control and debug registers; mod is ignored
	t.set(modRM|imm8, 0x70, 0xA4, 0xAC, 0xBA, 0xC2, 0xC4, 0xC5, 0xC6)
	t.span(modRM|imm8|register, 0x71, 0x73)
	t.span(force64|immZ, 0x80, 0x8F)
	t.span(modRM|bytes, 0x90, 0x9F)
	t.set(default64, 0xA0, 0xA1, 0xA8, 0xA9)
	t.set(modRM|memory, 0xB2, 0xB4, 0xB5, 0xC3, 0xE7, 0x2B)
	t.set(modRM|bytes, 0xB0, 0xC0)
	t.set(modRM|register, 0x50, 0xD7, 0xF7)
	t.set(modRM|imm8|register, 0xC5)
	t.span(0, 0xC8, 0xCF)
	return t
})

// op38 and op3A are the attributes of what SSSE3, SSE4, AES, CLMUL and MOVBE have.
func op38(o uint8) attributes {
	switch {
	case o <= 0x0B, o == 0x10, o == 0x14, o == 0x15, o == 0x17, o >= 0x1C && o <= 0x1E, o >= 0x20 && o <= 0x25, o == 0x28, o == 0x29, o == 0x2B,
		o >= 0x30 && o <= 0x35, o >= 0x37 && o <= 0x41, o >= 0xDB && o <= 0xDF, o == 0xF0, o == 0xF1:
		return modRM
	case o == 0x2A: // MOVNTDQA
		return modRM | memory
	}
	return undefined
}

func op3A(o uint8) attributes {
	switch {
	case o >= 0x08 && o <= 0x0F, o >= 0x14 && o <= 0x17, o >= 0x20 && o <= 0x22, o >= 0x40 && o <= 0x42, o == 0x44, o >= 0x60 && o <= 0x63, o == 0xDF:
		return modRM | imm8
	}
	return undefined
}

// lockable are the opcodes that may have a LOCK prefix, with a memory operand.
func (d *decoder) lockable() bool {
	if !d.Mem {
		return false
	}
	o := d.Opcode
	switch d.Map {
	case One:
		switch {
		case o < 0x38 && o&7 < 2: // ADD to XOR, to memory
			return true
		case o >= 0x80 && o <= 0x83:
			return d.Ext() != 7 // CMP
		case o == 0x86 || o == 0x87, o == 0xFE || o == 0xFF && d.Ext() < 2:
			return true
		case o == 0xF6 || o == 0xF7:
			return d.Ext() == 2 || d.Ext() == 3
		}
	case Two:
		switch o {
		case 0xAB, 0xB3, 0xBB, 0xB0, 0xB1, 0xC0, 0xC1:
			return true
		case 0xBA:
			return d.Ext() > 4
		case 0xC7:
			return d.Ext() == 1
		}
	}
	return false
}

// valid tells whether operands and prefixes are such as the opcode has.
func (d *decoder) valid(a attributes) bool {
	if a&memory != 0 && !d.Mem || a&register != 0 && d.Mem || d.Lock && !d.lockable() {
		return false
	}
	return d.validGroup()
}

// validGroup tells whether ModRM's extension is one that the opcode has.
func (d *decoder) validGroup() bool {
	e := d.Ext()
	switch d.Map {
	case One:
		switch d.Opcode {
		case 0x8F, 0xC6, 0xC7:
			return e == 0
		case 0x8C:
			return e < 6
		case 0x8E:
			return e < 6 && e != 1
		case 0xFE:
			return e < 2
		case 0xFF:
			return e < 7 && (d.Mem || e != 3 && e != 5)
		}
	case Two:
		switch d.Opcode {
		case 0x00:
			return e < 6
		case 0x71, 0x72:
			return e == 2 || e == 4 || e == 6
		case 0x73:
			return e == 2 || e == 6 || d.Size66 && (e == 3 || e == 7)
		case 0xBA:
			return e >= 4
		case 0xC3: // MOVNTI: with these prefixes other processors may have another instruction
			return d.Rep == 0 && !d.Size66
		}
	}
	return true
}
