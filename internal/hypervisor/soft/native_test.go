package soft

import (
	"bytes"
	goflag "flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/native"
)

var (
	instructions = goflag.Int("instructions", 1_000_000, "how many random instructions are compared with the host's processor")
	seed         = goflag.Uint64("seed", 1, "of the random instructions")
)

// pair is the host's processor and the interpreter with the same registers.
type pair struct {
	*sandbox
	r    *rand.Rand
	cpu  *CPU
	host *native.Context
	code *native.Code
}

// newPair makes a pair, and the nth generator of random numbers.
func newPair(t *testing.T, n uint64) *pair {
	t.Helper()
	s := newSandbox(t)
	return &pair{sandbox: s, r: rand.New(rand.NewPCG(*seed, n)), cpu: newCPU64(t, s), host: native.NewContext(), code: hostCode(t)}
}

// Random instructions leave what the architecture defines as the host's own processor does.
func TestAgainstTheHost(t *testing.T) {
	p := newPair(t, 0)
	seen := map[string]int{}
	b := make([]byte, decode.MaxLength)
	for n := 0; n < *instructions; {
		p.randomBytes(b)
		in, err := decode.Decode(b, decode.Mode64)
		if err != nil || handler(&in) == nil || !p.comparable(&in) {
			continue
		}
		n++
		if n%16 == 1 {
			p.shuffle()
		}
		p.prepare(&in)
		before, flags := p.cpu.R, p.cpu.Flags()
		if !p.run(t, &in, b[:in.Len]) {
			t.Fatalf("instruction %d (-seed %d): % x: %+v\nbefore: %x, flags %#x", n, *seed, b[:in.Len], in, before, flags)
		}
		seen[fmt.Sprintf("%d %02x", in.Map, in.Opcode)]++
	}
	if len(seen) < 180 && *instructions >= 1_000_000 {
		t.Errorf("only %d opcodes were compared", len(seen))
	}
}

// randomBytes makes an instruction likely, and each map.
func (p *pair) randomBytes(b []byte) {
	for i := range b {
		b[i] = byte(p.r.Uint32())
	}
	i := 0
	if p.r.IntN(4) == 0 {
		b[i] = []byte{0x66, 0xF2, 0xF3, 0x67}[p.r.IntN(4)]
		i++
	}
	if p.r.IntN(2) == 0 {
		b[i] = 0x40 | b[i]&15
		i++
	}
	switch p.r.IntN(8) {
	case 0, 1, 2:
		b[i] = 0x0F
	case 3:
		b[i], b[i+1], b[i+2] = 0x0F, 0x38, 0xF0|b[i+2]&1
	}
}

// comparable reports whether the host can run it alone: not what branches or uses the stack, and
// not what it has that we do not offer.
func (p *pair) comparable(in *decode.Inst) bool {
	uses := func(r decode.Reg) bool { return r == rsp && (in.OperandSize != 1 || in.REX) }
	if in.Seg >= decode.FS || in.Mem && (in.Base >= decode.None || in.Base == rsp || in.Index == rsp || in.Index == in.Base) {
		return false
	}
	if in.ModRM && (uses(in.Reg) || !in.Mem && uses(in.RM)) || !in.ModRM && in.RM == rsp || in.Reg == rsp && in.Map != decode.One {
		return false
	}
	o := in.Opcode
	switch in.Map {
	case decode.One:
		switch {
		case o >= 0x50 && o <= 0x5F, o >= 0x68 && o <= 0x6A && o != 0x69, o >= 0x70 && o <= 0x7F, o >= 0x8F && o <= 0x8F, o >= 0xA0 && o <= 0xA3:
			return false
		case o == 0xC2, o == 0xC3, o == 0xC8, o == 0xC9, o == 0xF1, o >= 0xE0 && o <= 0xEF, o == 0xFF && in.Ext() > 1:
			return false
		case o >= 0x6C && o <= 0x6F, o == 0x8C, o == 0x8E, o >= 0x9B && o <= 0x9D, o >= 0xCA && o <= 0xCF, o >= 0xD8 && o <= 0xDF,
			o == 0xF4, o == 0xFA, o == 0xFB, o < 0x40 && o&6 == 6: // system software's, and x87
			return false
		}
	case decode.Two:
		switch {
		case o < 0x0D, o >= 0x20 && o <= 0x23, o >= 0x30 && o <= 0x35, o >= 0xA0 && o <= 0xA2, o == 0xA8, o == 0xA9, o == 0xAE, o == 0xB2, o == 0xB4, o == 0xB5, sse(o):
			return false
		case o >= 0x80 && o <= 0x8F, o == 0x0D, o >= 0x18 && o <= 0x1E: // jumps, hints
			return false
		case (o == 0xBC || o == 0xBD) && in.Rep != 0: // TZCNT, LZCNT
			return false
		case o&^7 == 0xC8 && in.OperandSize == 2, o == 0xC7 && !in.Mem: // RDRAND
			return false
		case (o == 0xA4 || o == 0xAC) && in.OperandSize == 2 && in.Imm&31 > 16: // the result is undefined
			return false
		case (o == 0xA5 || o == 0xAD) && in.OperandSize == 2 && (in.Base == rcx || in.Index == rcx): // the count is an address
			return false
		}
	case decode.Op38:
		return in.Opcode&^1 == 0xF0 && (!in.Size66 || in.Rep == 0xF2)
	case decode.Op3A:
		return false
	}
	return true
}

// shuffle gives both new registers and memory.
func (p *pair) shuffle() {
	for i := range p.real {
		p.real[i] = byte(p.r.Uint32())
	}
	copy(p.own, p.real)
	for i := range p.cpu.R {
		v := p.r.Uint64()
		switch p.r.IntN(4) { // numbers at which something changes
		case 0:
			v = v & 3 << (v >> 8 & 63)
		case 1:
			v = uint64(int64(int8(v)))
		}
		p.cpu.R[i] = v
	}
	p.cpu.SetFlags(p.r.Uint64() & (flagsStatus | flagDF))
}

// prepare has the instruction's addresses within the sandbox.
func (p *pair) prepare(in *decode.Inst) {
	c := p.cpu
	middle := func() uint64 { return p.addr + pageSize - 512 + p.r.Uint64N(1024) }
	if in.Map == decode.One && in.Opcode >= 0xA4 && in.Opcode <= 0xAF && in.Opcode&^1 != 0xA8 {
		c.R[rsi], c.R[rdi], c.R[rcx] = middle(), middle(), p.r.Uint64N(20)
	}
	if in.Map == decode.One && in.Opcode == 0xD7 { // XLAT
		c.R[rbx] = middle()
	}
	if in.Map == decode.Two && in.OperandSize == 2 && (in.Opcode == 0xA5 || in.Opcode == 0xAD) {
		c.R[rcx] &= 15
	}
	if in.Map == decode.Two && in.Mem {
		switch in.Opcode {
		case 0xA3, 0xAB, 0xB3, 0xBB:
			c.R[in.Reg] = uint64(p.r.Int64N(4096) - 2048)
		}
	}
	if in.Mem {
		at := middle()
		if in.Index < decode.None {
			c.R[in.Index] = p.r.Uint64N(100)
		}
		if in.Map == decode.Two && in.Mem && in.Opcode >= 0xA3 && in.Opcode <= 0xBB && in.Opcode&7 == 3 && (in.Base == in.Reg || in.Index == in.Reg) {
			c.R[in.Reg] = 0 // a bit number that is an address as well
			if in.Base == in.Reg {
				c.R[in.Base] = at
			}
		}
		v := at - uint64(int64(in.Disp))
		if in.Index < decode.None {
			v -= c.R[in.Index] << in.Scale
		}
		c.R[in.Base] = v & mask(in.AddressSize)
	}
	p.host.GPR = c.R
	p.host.Flags = c.Flags()
}

// run executes it on both, and compares.
func (p *pair) run(t *testing.T, in *decode.Inst, code []byte) bool {
	t.Helper()
	flags := defined(in, p.cpu)
	before := p.cpu.R
	p.cpu.RIP = 0
	if _, ok := p.cpu.stepOnce(code); !ok { // a division, a bit far away: the host is spared it
		p.cpu.R = before
		copy(p.own, p.real)
		return true
	}
	thunk, err := p.code.Add(code, true)
	if err != nil {
		p.code.Reset()
		if thunk, err = p.code.Add(code, true); err != nil {
			t.Fatal(err)
		}
	}
	thunk.Run(p.host)
	p.host.GPR[rsp] = p.cpu.R[rsp]
	same := p.host.GPR == p.cpu.R && (p.host.Flags^p.cpu.Flags())&flags == 0 && bytes.Equal(p.real, p.own)
	if !same {
		t.Errorf("the host has %x, flags %#x\nhere it is  %x, flags %#x (of %#x)", p.host.GPR, p.host.Flags, p.cpu.R, p.cpu.Flags(), flags)
		for i := range p.real {
			if p.real[i] != p.own[i] {
				t.Errorf("byte %d of memory is %#x, here %#x", i, p.real[i], p.own[i])
			}
		}
	}
	p.cpu.SetFlags(p.host.Flags & (flagsStatus | flagDF)) // what is undefined is the host's
	return same
}

// defined are the flags that an instruction leaves as the architecture says.
func defined(in *decode.Inst, c *CPU) uint64 {
	const all = flagsStatus | flagDF
	n := in.OperandSize
	switch in.Map {
	case decode.One:
		switch o := in.Opcode; {
		case o < 0x40 && (o>>3 == aluOr || o>>3 == aluAnd || o>>3 == aluXor), o == 0x84, o == 0x85, o == 0xA8, o == 0xA9:
			return all &^ flagAF
		case o >= 0x80 && o <= 0x83 && (in.Ext() == aluOr || in.Ext() == aluAnd || in.Ext() == aluXor):
			return all &^ flagAF
		case o == 0x69 || o == 0x6B:
			return flagCF | flagOF | flagDF
		case o == 0xF6 || o == 0xF7:
			switch in.Ext() {
			case 0, 1:
				return all &^ flagAF
			case 4, 5:
				return flagCF | flagOF | flagDF
			case 6, 7:
				return flagDF
			}
		case o == 0xC0, o == 0xC1:
			return definedShift(in.Ext(), n, uint8(in.Imm))
		case o == 0xD0, o == 0xD1:
			return definedShift(in.Ext(), n, 1)
		case o == 0xD2, o == 0xD3:
			return definedShift(in.Ext(), n, uint8(c.R[rcx]))
		}
	case decode.Two:
		switch o := in.Opcode; {
		case o == 0xAF:
			return flagCF | flagOF | flagDF
		case o == 0xA3, o == 0xAB, o == 0xB3, o == 0xBB, o == 0xBA:
			return flagCF | flagZF | flagDF
		case o == 0xBC, o == 0xBD:
			return flagZF | flagDF
		case o == 0xA4, o == 0xAC:
			return definedShift(shiftSHL, n, uint8(in.Imm))
		case o == 0xA5, o == 0xAD:
			return definedShift(shiftSHL, n, uint8(c.R[rcx]))
		}
	}
	return all
}

func definedShift(op, n, count uint8) uint64 {
	const all = flagsStatus | flagDF
	if n == 8 {
		count &= 63
	} else {
		count &= 31
	}
	flags := uint64(all)
	if count == 0 {
		return all
	}
	if op >= shiftSHL {
		flags &^= flagAF
	}
	if count != 1 {
		flags &^= flagOF
	}
	if count > 8*n || count == 8*n && n < 4 {
		flags &^= flagCF
	}
	return flags
}
