// Package decode reads x86-64 instructions: prefixes, opcode, ModRM, displacement and
// immediate, for all modes that the software processor has.
//
// Source: Intel SDM volume 2, chapter 2 and appendix A.
package decode

import "errors"

// Mode is how wide addresses and operands are by default.
type Mode uint8

// Modes, by the code segment's L and D bits.
const (
	Mode16 Mode = iota // real mode, and 16-bit segments
	Mode32             // 32-bit segments
	Mode64             // long mode's 64-bit segments
)

// MaxLength is an instruction's length at most, in bytes.
const MaxLength = 15

// Errors of Decode.
var (
	// ErrShort: the bytes end within the instruction.
	ErrShort = errors.New("decode: the bytes end within an instruction")
	// ErrTooLong: it has more than 15 bytes, which is a general-protection fault.
	ErrTooLong = errors.New("decode: an instruction of more than 15 bytes")
	// ErrUndefined: there is no such instruction, which is an invalid-opcode fault.
	ErrUndefined = errors.New("decode: an undefined instruction")
)

// Map is the opcode map of an instruction.
type Map uint8

// Maps, by the escape bytes before the opcode.
const (
	One  Map = iota // none
	Two             // 0F
	Op38            // 0F 38
	Op3A            // 0F 3A
)

// Seg is a segment register, by its number in instructions.
type Seg uint8

// Segment registers.
const (
	ES Seg = iota
	CS
	SS
	DS
	FS
	GS
)

// Reg is a general register by its number: 0 is RAX, 4 RSP, 8 R8.
type Reg uint8

// What an address has in place of a register.
const (
	None Reg = 0x10 + iota // nothing
	RIP                    // the address of the next instruction
)

// Inst is a decoded instruction, of 32 bytes.
type Inst struct {
	Imm  int64 // sign-extended, but for a far pointer's offset and addresses
	Disp int32
	Imm2 uint16

	Len    uint8
	Map    Map
	Opcode uint8
	Rep    uint8 // 0, 0xF2 or 0xF3: the last of these prefixes
	Lock   bool
	Size66 bool // the operand-size prefix, which selects instructions in the maps from Two on
	REX    bool // there is one: byte registers 4 to 7 are SPL to DIL
	W      bool // REX.W

	OperandSize uint8 // in bytes: 1, 2, 4 or 8; of instructions of SSE without meaning
	AddressSize uint8 // in bytes: 2, 4 or 8

	// Of ModRM, where there is one.
	ModRM bool
	Reg   Reg  // its register or opcode extension, with REX.R
	RM    Reg  // the register of a register operand, or without ModRM of the opcode, with REX.B
	Mem   bool // the operand is memory: Seg:(Base + Index<<Scale + Disp)

	Seg         Seg // of the memory operand, or of a string's source
	Base, Index Reg
	Scale       uint8
}

// Ext is the opcode extension in ModRM.
func (in *Inst) Ext() uint8 { return uint8(in.Reg) & 7 }

// reader takes bytes.
type reader struct {
	b   []byte
	at  int
	err error
}

func (r *reader) byte() byte {
	if r.at >= len(r.b) || r.at >= MaxLength {
		if r.err == nil {
			r.err = ErrShort
			if r.at >= MaxLength {
				r.err = ErrTooLong
			}
		}
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

// number is one of n bytes, sign-extended.
func (r *reader) number(n int) int64 {
	var v uint64
	for i := range n {
		v |= uint64(r.byte()) << (8 * i)
	}
	shift := 64 - 8*n
	return int64(v<<shift) >> shift
}

// Decode decodes the instruction that b begins with. b need not have more than its bytes;
// where it has fewer, the error is ErrShort.
func Decode(b []byte, mode Mode) (in Inst, err error) {
	r := reader{b: b}
	d := decoder{Inst: Inst{Seg: DS, Base: None, Index: None}, reader: &r, mode: mode}
	d.prefixes()
	a := d.opcode()
	if r.err != nil {
		return Inst{}, r.err
	}
	if a&undefined != 0 || mode == Mode64 && a&not64 != 0 || mode != Mode64 && a&only64 != 0 {
		return Inst{}, ErrUndefined
	}
	d.sizes(a)
	if a&modRM != 0 {
		d.modRM()
	} else {
		d.RM = Reg(d.Opcode&7 | d.rex&1<<3)
	}
	d.immediate(d.groupImmediate(a))
	if r.err != nil {
		return Inst{}, r.err
	}
	d.Len = uint8(r.at)
	if !d.valid(a) {
		return Inst{}, ErrUndefined
	}
	return d.Inst, nil
}

// decoder is an Inst on its way.
type decoder struct {
	Inst
	*reader
	mode       Mode
	size67     bool
	segment    bool // a segment prefix
	rex, first byte // first: the byte after the prefixes
}

// prefixes reads them all, and the byte after them.
func (d *decoder) prefixes() {
	for d.err == nil {
		b := d.byte()
		switch {
		case b == 0x66:
			d.Size66 = true
		case b == 0x67:
			d.size67 = true
		case b == 0xF0:
			d.Lock = true
		case b == 0xF2 || b == 0xF3:
			d.Rep = b
		case b == 0x26 || b == 0x2E || b == 0x36 || b == 0x3E:
			if d.mode != Mode64 { // else without effect
				d.Seg, d.segment = Seg(b>>3&3), true
			}
		case b == 0x64 || b == 0x65:
			d.Seg, d.segment = FS+Seg(b&1), true
		case b&0xF0 == 0x40 && d.mode == Mode64:
			d.rex = b // one before another prefix is without effect
			d.first = d.byte()
			if !isPrefix(d.first) {
				d.useREX()
				return
			}
			d.rex = 0
			d.at--
			continue
		default:
			d.first = b
			return
		}
	}
}

// isPrefix tells whether b is a prefix in 64-bit mode.
func isPrefix(b byte) bool {
	switch b {
	case 0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65:
		return true
	}
	return b&0xF0 == 0x40
}

func (d *decoder) useREX() { d.REX, d.W = true, d.rex&8 != 0 }

// opcode reads the rest of it, and returns what is known of it.
func (d *decoder) opcode() attributes {
	if d.first != 0x0F {
		d.Opcode = d.first
		return oneByte()[d.first]
	}
	d.Map, d.Opcode = Two, d.byte()
	switch d.Opcode {
	case 0x38:
		d.Map, d.Opcode = Op38, d.byte()
		return op38(d.Opcode)
	case 0x3A:
		d.Map, d.Opcode = Op3A, d.byte()
		return op3A(d.Opcode)
	}
	return twoByte()[d.Opcode]
}

// sizes finds those of operands and addresses.
func (d *decoder) sizes(a attributes) {
	d.OperandSize, d.AddressSize = 2, 2
	if (d.mode == Mode16) == d.Size66 {
		d.OperandSize = 4
	}
	if (d.mode == Mode16) == d.size67 {
		d.AddressSize = 4
	}
	if d.mode == Mode64 {
		if d.AddressSize = 8; d.size67 {
			d.AddressSize = 4
		}
		switch {
		case d.W || a&force64 != 0 || a&default64 != 0 && !d.Size66:
			d.OperandSize = 8
		case d.Size66:
			d.OperandSize = 2
		default:
			d.OperandSize = 4
		}
	}
	if a&bytes != 0 {
		d.OperandSize = 1
	}
}

// modRM reads ModRM, SIB and the displacement.
func (d *decoder) modRM() {
	b := d.byte()
	mod, rm := b>>6, b&7
	d.ModRM = true
	d.Reg = Reg(b>>3&7 | d.rex&4<<1)
	if mod == 3 || d.Map == Two && d.Opcode >= 0x20 && d.Opcode <= 0x23 { // of control and debug registers mod is ignored
		d.RM = Reg(rm | d.rex&1<<3)
		return
	}
	d.Mem = true
	if d.AddressSize == 2 {
		d.mem16(mod, rm)
		return
	}
	d.Base = Reg(rm | d.rex&1<<3)
	if rm == 4 {
		d.sib(mod)
	} else if rm == 5 && mod == 0 {
		d.Base = None
		if d.mode == Mode64 {
			d.Base = RIP
		}
		d.Disp = int32(d.number(4))
	}
	d.displacement(mod, 4)
	d.stackSegment()
}

func (d *decoder) sib(mod byte) {
	s := d.byte()
	d.Scale = s >> 6
	if i := s>>3&7 | d.rex&2<<2; i != 4 {
		d.Index = Reg(i)
	}
	if d.Base = Reg(s&7 | d.rex&1<<3); s&7 == 5 && mod == 0 {
		d.Base = None
		d.Disp = int32(d.number(4))
	}
}

func (d *decoder) displacement(mod byte, size int) {
	switch mod {
	case 1:
		d.Disp = int32(d.number(1))
	case 2:
		d.Disp = int32(d.number(size))
	}
}

// mem16 is an operand with a 16-bit address.
func (d *decoder) mem16(mod, rm byte) {
	const bx, bp, si, di = 3, 5, 6, 7
	pair := [8][2]Reg{{bx, si}, {bx, di}, {bp, si}, {bp, di}, {si, None}, {di, None}, {bp, None}, {bx, None}}[rm]
	d.Base, d.Index = pair[0], pair[1]
	if rm == 6 && mod == 0 {
		d.Base = None
		d.Disp = int32(d.number(2))
	}
	d.displacement(mod, 2)
	d.stackSegment()
}

// stackSegment is that of an address by RSP or RBP, unless a prefix says another.
func (d *decoder) stackSegment() {
	if (d.Base == 4 || d.Base == 5) && !d.segment {
		d.Seg = SS
	}
}

// groupImmediate is a without the immediate that a group's other members have.
func (d *decoder) groupImmediate(a attributes) attributes {
	if d.Map == One && d.Opcode&^1 == 0xF6 && d.Ext() > 1 { // only TEST has one
		a &^= imm8 | immZ
	}
	return a
}

// immediate reads what follows.
func (d *decoder) immediate(a attributes) {
	z := int(min(d.OperandSize, 4))
	switch {
	case a&imm8 != 0:
		d.Imm = d.number(1)
	case a&imm16 != 0:
		d.Imm = d.number(2) & 0xFFFF
		if a&imm8More != 0 { // ENTER
			d.Imm2 = uint16(d.number(1) & 0xFF)
		}
	case a&immZ != 0:
		d.Imm = d.number(z)
	case a&immV != 0:
		d.Imm = d.number(int(d.OperandSize))
	case a&offset != 0:
		d.Imm = d.number(int(d.AddressSize))
		if d.AddressSize < 8 {
			d.Imm &= 1<<(8*d.AddressSize) - 1
		}
	case a&far != 0:
		d.Imm = d.number(z) & (1<<(8*z) - 1)
		d.Imm2 = uint16(d.number(2))
	}
}
