package decode

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"
)

// Instructions whose parts are known.
func TestDecode(t *testing.T) {
	for _, c := range []struct {
		code string
		mode Mode
		want Inst
	}{
		{"90", Mode64, Inst{Len: 1, Opcode: 0x90, OperandSize: 4, AddressSize: 8, Seg: DS, Base: None, Index: None}},
		{"48 89 e5", Mode64, Inst{Len: 3, Opcode: 0x89, REX: true, W: true, OperandSize: 8, AddressSize: 8, ModRM: true, Reg: 4, RM: 5, Seg: DS, Base: None, Index: None}},
		{"8b 44 24 08", Mode64, Inst{Len: 4, Opcode: 0x8B, OperandSize: 4, AddressSize: 8, ModRM: true, Reg: 0, Mem: true, Seg: SS, Base: 4, Index: None, Disp: 8}},
		{"65 48 8b 04 25 28 00 00 00", Mode64, Inst{Len: 9, Opcode: 0x8B, REX: true, W: true, OperandSize: 8, AddressSize: 8, ModRM: true, Mem: true, Seg: GS, Base: None, Index: None, Disp: 0x28}},
		{"48 8d 05 f9 ff ff ff", Mode64, Inst{Len: 7, Opcode: 0x8D, REX: true, W: true, OperandSize: 8, AddressSize: 8, ModRM: true, Mem: true, Seg: DS, Base: RIP, Index: None, Disp: -7}},
		{"f0 4d 0f b1 04 cc", Mode64, Inst{Len: 6, Map: Two, Opcode: 0xB1, Lock: true, REX: true, W: true, OperandSize: 8, AddressSize: 8, ModRM: true, Reg: 8, Mem: true, Seg: DS, Base: 12, Index: 1, Scale: 3}},
		{"49 bb 88 77 66 55 44 33 22 11", Mode64, Inst{Len: 10, Opcode: 0xBB, REX: true, W: true, RM: 11, OperandSize: 8, AddressSize: 8, Seg: DS, Base: None, Index: None, Imm: 0x1122334455667788}},
		{"66 b8 fe ff", Mode64, Inst{Len: 4, Opcode: 0xB8, Size66: true, OperandSize: 2, AddressSize: 8, Seg: DS, Base: None, Index: None, Imm: -2}},
		{"ea 78 56 34 12 08 00", Mode32, Inst{Len: 7, Opcode: 0xEA, RM: 2, OperandSize: 4, AddressSize: 4, Seg: DS, Base: None, Index: None, Imm: 0x12345678, Imm2: 8}},
		{"ea 34 12 00 f0", Mode16, Inst{Len: 5, Opcode: 0xEA, RM: 2, OperandSize: 2, AddressSize: 2, Seg: DS, Base: None, Index: None, Imm: 0x1234, Imm2: 0xF000}},
		{"8b 42 fe", Mode16, Inst{Len: 3, Opcode: 0x8B, OperandSize: 2, AddressSize: 2, ModRM: true, Mem: true, Seg: SS, Base: 5, Index: 6, Disp: -2}},
		{"f3 a4", Mode64, Inst{Len: 2, Opcode: 0xA4, RM: 4, Rep: 0xF3, OperandSize: 1, AddressSize: 8, Seg: DS, Base: None, Index: None}},
		{"c8 10 00 01", Mode64, Inst{Len: 4, Opcode: 0xC8, OperandSize: 8, AddressSize: 8, Seg: DS, Base: None, Index: None, Imm: 16, Imm2: 1}},
		{"a1 88 77 66 55 44 33 22 11", Mode64, Inst{Len: 9, Opcode: 0xA1, RM: 1, OperandSize: 4, AddressSize: 8, Seg: DS, Base: None, Index: None, Imm: 0x1122334455667788}},
		{"66 0f 38 00 c1", Mode64, Inst{Len: 5, Map: Op38, Opcode: 0, Size66: true, OperandSize: 2, AddressSize: 8, ModRM: true, RM: 1, Seg: DS, Base: None, Index: None}},
		{"f7 d8", Mode64, Inst{Len: 2, Opcode: 0xF7, OperandSize: 4, AddressSize: 8, ModRM: true, Reg: 3, RM: 0, Seg: DS, Base: None, Index: None}},
		{"40", Mode32, Inst{Len: 1, Opcode: 0x40, OperandSize: 4, AddressSize: 4, Seg: DS, Base: None, Index: None}},
	} {
		b := bytesOf(t, c.code)
		got, err := Decode(b, c.mode)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want\n%+v", c.code, got, err, c.want)
		}
		for n := range b {
			if _, err := Decode(b[:n], c.mode); !errors.Is(err, ErrShort) {
				t.Errorf("%s, %d bytes: %v", c.code, n, err)
			}
		}
	}
}

func bytesOf(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRefusals(t *testing.T) {
	for code, want := range map[string]error{
		"06": ErrUndefined, "0f 0b": nil, "0f ff c0": nil, "d6": ErrUndefined, "8d c0": ErrUndefined, "f0 90": ErrUndefined, "f0 01 c0": ErrUndefined, "f0 01 00": nil,
		"c5 f8 77": ErrUndefined, "62 f1 7c 48 10 00": ErrUndefined, "ff f8": ErrUndefined, "ff d8": ErrUndefined, "fe c0": nil, "fe d0": ErrUndefined,
		"66 66 66 66 66 66 66 66 66 66 66 66 66 66 90": nil, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90": ErrTooLong,
		"8e c8": ErrUndefined, "0f ba c0 00": ErrUndefined, "0f 38 ff c0": ErrUndefined,
	} {
		if _, err := Decode(bytesOf(t, code), Mode64); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", code, err, want)
		}
	}
}

// notOffered are instructions that x86asm knows and processors have that we do not offer: SHA,
// TSX, INVPCID, mask registers (VEX), and the test registers of a 486.
var notOffered = regexp.MustCompile(`^(SHA.*|XBEGIN|XABORT|INVPCID|K[A-Z]+[BWDQ]+|V[A-Z0-9]+)$`)

// x86asm agrees about what is an instruction and how long it is, but for LOCK prefixes, about
// which it is lenient.
func TestAgreesWithX86asm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 24)
	agreed := 0
	for range 500_000 {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		switch r.IntN(4) { // the maps that chance finds seldom
		case 0:
			b[0] = 0x0F
		case 1:
			b[0], b[1] = 0x40|b[0]&15, 0x0F
		case 2:
			b[0], b[1] = []byte{0x66, 0xF2, 0xF3, 0xF0}[b[0]&3], 0x0F
		}
		for mode, bits := range map[Mode]int{Mode64: 64, Mode32: 32, Mode16: 16} {
			in, err := Decode(b, mode)
			ref, rerr := x86asm.Decode(b, bits)
			if rerr != nil || ref.Op == 0 { // 0: a prefix alone
				continue
			}
			locked := slices.ContainsFunc(ref.Prefix[:], func(p x86asm.Prefix) bool { return p&0xFF == x86asm.PrefixLOCK })
			switch {
			case err != nil && ref.Op == x86asm.MOVNTI: // with a prefix, about which it is lenient too
			case err != nil && !locked && !notOffered.MatchString(ref.Op.String()) && !testRegister(ref):
				t.Fatalf("%x, %d bits: %v, x86asm has %v", b, bits, err, ref)
			case err != nil, in.Map == Two && in.Opcode >= 0x20 && in.Opcode <= 0x23: // whose mod it reads
			case int(in.Len) != ref.Len:
				t.Fatalf("%x, %d bits: %d bytes, x86asm has %d of %v", b, bits, in.Len, ref.Len, ref)
			default:
				agreed++
			}
		}
	}
	if agreed < 1_000_000 {
		t.Errorf("they agree about %d only", agreed)
	}
}

// testRegister tells whether it moves to or from one of a 486's, or to CS.
func testRegister(in x86asm.Inst) bool {
	return in.Op == x86asm.MOV && slices.ContainsFunc(in.Args[:], func(a x86asm.Arg) bool {
		r, ok := a.(x86asm.Reg)
		return ok && (r >= x86asm.TR0 && r <= x86asm.TR7 || r == x86asm.CS)
	})
}

// FuzzDecode: no bytes panic, or are read beyond an instruction's end.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x48, 0x89, 0xE5}, byte(Mode64))
	f.Add([]byte{0x66, 0x67, 0xF0, 0x26, 0x0F, 0x38, 0x00}, byte(Mode16))
	f.Fuzz(func(t *testing.T, b []byte, mode byte) {
		in, err := Decode(b, Mode(mode%3))
		if err == nil && (int(in.Len) > len(b) || in.Len > MaxLength || in.Len == 0) {
			t.Errorf("%x: %d bytes", b, in.Len)
		}
		if err != nil {
			return
		}
		if again, err := Decode(b[:in.Len], Mode(mode%3)); err != nil || again != in {
			t.Errorf("%x: alone it is %+v, %v, not %+v", b, again, err, in)
		}
	})
}
