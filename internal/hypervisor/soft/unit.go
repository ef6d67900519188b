package soft

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/native"
)

// units are the registers of x87, MMX and SSE, and the code by which the host's own processor
// executes their instructions: on these registers, with memory operands in the Context's Scratch.
type units struct {
	*native.Context
	code   *native.Code
	thunks map[encoding]native.Thunk
}

// newUnits makes units with the registers of a reset, and code in memory that is theirs alone.
func newUnits(code *native.Code) units {
	return units{Context: native.NewContext(), code: code, thunks: map[encoding]native.Thunk{}}
}

// encoding is an instruction as it is executed.
type encoding struct {
	n byte
	b [decode.MaxLength + 1]byte
}

// codeBytes is how much memory thunks take; when it is full all are made anew.
const codeBytes = 256 << 10

// operand is the memory operand of an instruction of these units.
type operand struct {
	n           uint8
	read, write bool
}

// unit executes an instruction of x87, MMX or SSE.
func unit(c *CPU, u *uop) status {
	if c.units.Context == nil || !unitDefined(&u.Inst) {
		return c.raise(vectorUD)
	}
	if s := c.unitReady(&u.Inst); s != next || u.Map == decode.One && u.Opcode == 0x9B {
		return s
	}
	m := operandOf(&u.Inst)
	addr := uint64(0)
	if u.Mem {
		if m.n == 0 {
			return c.raise(vectorUD)
		}
		if addr = c.address(u); m.n == 16 && addr&15 != 0 && aligned(&u.Inst) {
			return c.raise(vectorGP)
		}
		if m.read && !c.copyIn(c.units.Scratch[:m.n], addr) {
			return faulted
		}
		if m.write && !c.writable(addr, int(m.n)) {
			return faulted
		}
	}
	if s := c.runUnit(u); s != next {
		return s
	}
	if m.write && u.Mem && c.storesX87(&u.Inst) && !c.copyOut(addr, c.units.Scratch[:m.n]) {
		return faulted
	}
	return next
}

// runUnit runs it. Exceptions of SSE are masked: what would have raised one is undone. Those of x87
// wait for the next instruction, which unitReady does not let come to the host's processor.
func (c *CPU) runUnit(u *uop) status {
	x := c.units.Context
	before := x.FX
	mxcsr := binary.LittleEndian.Uint32(x.FX[fxMXCSR:])
	binary.LittleEndian.PutUint32(x.FX[fxMXCSR:], quiet(mxcsr))
	x.GPR, x.Flags = c.R, c.flags.status()
	t, reg, err := c.thunk(&u.Inst)
	if err != nil {
		x.FX = before
		return c.raise(vectorUD)
	}
	stands, _ := generalOperand(&u.Inst)
	if reg != decode.None {
		x.GPR[reg] = c.R[stands]
	}
	t.Run(x)
	c.pointX87(u, &before)
	after := binary.LittleEndian.Uint32(x.FX[fxMXCSR:])
	if raised := after & mxcsrExceptions; unmasked(mxcsr, raised) != 0 && u.Map != decode.One {
		x.FX = before
		return c.raiseSSE(mxcsr, raised)
	}
	binary.LittleEndian.PutUint32(x.FX[fxMXCSR:], after&^mxcsrMasks|mxcsr&(mxcsrMasks|mxcsrExceptions))
	switch sp := c.R[rsp]; {
	case reg != decode.None:
		if _, write := generalOperand(&u.Inst); write {
			c.R[stands] = x.GPR[reg]
		}
	case !u.Mem:
		c.R = x.GPR
		c.R[rsp] = sp
	case u.Map == decode.Op3A && (u.Opcode == 0x61 || u.Opcode == 0x63): // PCMPESTRI, PCMPISTRI
		c.R[rcx] = x.GPR[rcx]
	}
	c.flags.setBits(flagsStatus, x.Flags)
	return next
}

// raiseSSE is an exception of SSE that is not masked. Those of operands come before a result is computed,
// which raises none then.
func (c *CPU) raiseSSE(mxcsr, raised uint32) status {
	const operands = 7 // invalid, denormal, division by zero
	if unmasked(mxcsr, raised)&operands != 0 {
		raised &= operands
	}
	binary.LittleEndian.PutUint32(c.units.FX[fxMXCSR:], mxcsr|raised)
	if c.cr4&cr4OSXMMEXCPT == 0 {
		return c.raise(vectorUD)
	}
	return c.raise(vectorXM)
}

// generalOperand is the general register that an instruction reads or writes; None: it has none.
func generalOperand(in *decode.Inst) (r decode.Reg, write bool) {
	o, p := in.Opcode, prefixOf(in)
	switch in.Map {
	case decode.Two:
		switch {
		case o == 0x2C || o == 0x2D:
			if p == prefixF3 || p == prefixF2 {
				return in.Reg, true
			}
		case o == 0x50, o == 0xC5, o == 0xD7:
			return in.Reg, true
		case in.Mem:
		case o == 0x2A && (p == prefixF3 || p == prefixF2), o == 0x6E, o == 0xC4:
			return in.RM, false
		case o == 0x7E && p != prefixF3:
			return in.RM, true
		}
	case decode.Op3A:
		switch {
		case in.Mem:
		case o >= 0x14 && o <= 0x17:
			return in.RM, true
		case o == 0x20, o == 0x22:
			return in.RM, false
		}
	}
	return decode.None, false
}

// thunk finds or makes the code of an instruction. reg is the general register that stands for its
// general operand, where that is the stack's, or where the address would be in the way.
func (c *CPU) thunk(in *decode.Inst) (t native.Thunk, reg decode.Reg, err error) {
	e, reg := encode(in, false)
	t, ok := c.units.thunks[e]
	if ok {
		return t, reg, nil
	}
	if t, err = c.units.code.Add(e.b[:e.n], !in.Mem); err == native.ErrFull {
		c.forgetThunks()
		t, err = c.units.code.Add(e.b[:e.n], !in.Mem)
	}
	c.units.thunks[e] = t
	return t, reg, err
}

// forgetThunks makes room for others. Decoded instructions, which may have one, are forgotten too.
func (c *CPU) forgetThunks() {
	c.units.code.Reset()
	clear(c.units.thunks)
	c.code.forget()
}

// encode makes the instruction again, with a memory operand in the Context's Scratch. stand: RAX stands for its general register.
func encode(in *decode.Inst, stand bool) (e encoding, reg decode.Reg) {
	reg = decode.None
	put := func(b ...byte) { e.n += byte(copy(e.b[e.n:], b)) }
	if in.Map == decode.One && in.OperandSize == 2 || in.Map != decode.One && in.Size66 { // of x87: FNSAVE and such, by the mode too
		put(0x66)
	}
	if in.Rep != 0 {
		put(in.Rep)
	}
	r, rm := in.Reg, in.RM
	general, _ := generalOperand(in)
	if in.Mem {
		rm = rbx
	}
	if general == rsp || general < decode.None && (in.Mem || stand) {
		reg = rax
		if general == in.Reg && (in.Mem || in.Opcode != 0x7E && in.Opcode != 0x6E && in.Opcode != 0x2A && in.Opcode != 0xC4 && in.Map != decode.Op3A) {
			r = rax
		} else {
			rm = rax
		}
	}
	rex := byte(0x40 | r>>3<<2 | rm>>3)
	if in.W {
		rex |= 8
	}
	if rex != 0x40 || in.REX {
		put(rex)
	}
	switch in.Map {
	case decode.Two:
		put(0x0F)
	case decode.Op38:
		put(0x0F, 0x38)
	case decode.Op3A:
		put(0x0F, 0x3A)
	}
	put(in.Opcode)
	if in.ModRM && in.Mem {
		put(0x83 | byte(r&7)<<3)
		put(byte(native.OffsetScratch&0xFF), native.OffsetScratch>>8, 0, 0)
	} else if in.ModRM {
		put(0xC0 | byte(r&7)<<3 | byte(rm&7))
	}
	if in.Map == decode.Op3A || in.Map == decode.Two && hasImmediate(in.Opcode) {
		put(byte(in.Imm))
	}
	return e, reg
}

func hasImmediate(o uint8) bool {
	return o >= 0x70 && o <= 0x73 || o == 0xC2 || o >= 0xC4 && o <= 0xC6
}

// copyIn reads memory of any length, in accesses of 8 bytes and, at the end, of 4, 2 and 1; copyOut writes it.
func (c *CPU) copyIn(b []byte, addr uint64) bool {
	for len(b) > 0 {
		n := piece(len(b))
		v, ok := c.load(addr, n)
		if !ok {
			return false
		}
		put(b, n, v)
		b, addr = b[n:], c.wrap(addr+uint64(n))
	}
	return true
}

func (c *CPU) copyOut(addr uint64, b []byte) bool {
	for len(b) > 0 {
		n := piece(len(b))
		if !c.store(addr, n, get(unsafe.Pointer(&b[0]), n)) {
			return false
		}
		b, addr = b[n:], c.wrap(addr+uint64(n))
	}
	return true
}

// piece is how many of n bytes one access moves.
func piece(n int) uint8 { return 1 << (bits.Len(uint(min(n, 8))) - 1) }

// writable reports whether all of an operand can be written.
func (c *CPU) writable(addr uint64, n int) bool {
	addr, ok := c.inSegment(addr, n, accessWrite)
	if ok {
		_, ok = c.translate(addr, accessWrite)
	}
	if last := addr + uint64(n) - 1; ok && last/pageSize != addr/pageSize {
		_, ok = c.translate(c.wrap(last&^(pageSize-1)), accessWrite)
	}
	return ok
}
