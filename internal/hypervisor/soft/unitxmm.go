package soft

import (
	"encoding/binary"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/native"
)

// Instructions of SSE that use XMM registers, and no others but one general register: moves are executed here, all others by the
// host's processor with their own registers only, where other units' instructions have all of them loaded and stored.

// fastXMM gives u the handler that it has as such an instruction in 64-bit code, and makes its OperandSize, which has no meaning in SSE, the
// size of its memory operand. Without a handler it is one for unit.
func fastXMM(u *uop) {
	if u.do = handlerXMM(&u.Inst); u.do != nil && u.Mem {
		u.OperandSize = operandOf(&u.Inst).n
	}
}

func handlerXMM(in *decode.Inst) exec {
	if !unitDefined(in) {
		return nil
	}
	if use := useOf(in); !use.xmm || use.mmx {
		return nil
	}
	p := prefixOf(in)
	o := in.Opcode
	if in.Map == decode.Two {
		switch {
		case o == 0x10 && p&prefixPacked != 0, o == 0x28, o == 0x6F, o == 0xF0:
			return loadXMM
		case o == 0x11 && p&prefixPacked != 0, o == 0x29, o == 0x7F, o == 0xE7, o == 0x2B:
			return storeXMM
		case in.Mem && (o == 0x10 || o == 0x7E && p == prefixF3 || o == 0x6E):
			return loadScalar
		case in.Mem && (o == 0x11 || o == 0xD6 || o == 0x7E || (o == 0x13 || o == 0x17)):
			return storeScalar
		case !in.Mem && (o == 0xEF || o == 0x57) && in.Reg == in.RM:
			return clearXMM
		}
	}
	m := operandOf(in)
	if in.Mem && (m.n == 0 || m.write) || in.Map == decode.Op3A && o >= 0x60 && o <= 0x63 || in.Map == decode.Two && (o == 0xF7 || o == 0xC3) {
		return nil
	}
	return runXMM
}

// xmm is a register's 16 bytes.
func (c *CPU) xmm(r decode.Reg) *[2]uint64 {
	return (*[2]uint64)(unsafe.Pointer(&c.units.FX[fxXMM+16*uintptr(r&15)]))
}

// hasXMM reports whether SSE can be used; else unit says why not.
func (c *CPU) hasXMM() bool {
	return c.units.Context != nil && c.cr0&(cr0EM|cr0TS) == 0 && c.cr4&cr4OSFXSR != 0
}

func loadXMM(c *CPU, u *uop) status {
	if !c.hasXMM() {
		return unit(c, u)
	}
	to := c.xmm(u.Reg)
	if !u.Mem {
		*to = *c.xmm(u.RM)
		return next
	}
	at := c.target(u)
	p := c.readable(at, 16)
	if p == nil || misaligned(u, at) {
		return unit(c, u)
	}
	*to = *(*[2]uint64)(p)
	return next
}

func storeXMM(c *CPU, u *uop) status {
	if !c.hasXMM() {
		return unit(c, u)
	}
	from := c.xmm(u.Reg)
	if !u.Mem {
		*c.xmm(u.RM) = *from
		return next
	}
	at := c.target(u)
	p := c.changeable(at, 16)
	if p == nil || misaligned(u, at) {
		return unit(c, u)
	}
	*(*[2]uint64)(p) = *from
	return next
}

// misaligned reports whether a memory operand of 16 bytes is not aligned, and must be.
func misaligned(u *uop, at uint64) bool { return at&15 != 0 && aligned(&u.Inst) }

// loadScalar and storeScalar are MOVSS, MOVSD, MOVD, MOVQ, MOVLPS and such with memory.
func loadScalar(c *CPU, u *uop) status {
	if !c.hasXMM() {
		return unit(c, u)
	}
	v, ok := c.load(c.target(u), u.OperandSize)
	if !ok {
		return faulted
	}
	*c.xmm(u.Reg) = [2]uint64{v}
	return next
}

func storeScalar(c *CPU, u *uop) status {
	if !c.hasXMM() {
		return unit(c, u)
	}
	half := 0
	if u.Opcode == 0x17 {
		half = 1
	}
	if !c.store(c.target(u), u.OperandSize, c.xmm(u.Reg)[half]) {
		return faulted
	}
	return next
}

// clearXMM is PXOR and XORPS of a register with itself.
func clearXMM(c *CPU, u *uop) status {
	if !c.hasXMM() {
		return unit(c, u)
	}
	*c.xmm(u.Reg) = [2]uint64{}
	return next
}

// runXMM has the host's processor execute the instruction. The uop keeps the code that does it.
func runXMM(c *CPU, u *uop) status {
	if !c.hasXMM() {
		return unit(c, u)
	}
	if u.thunk == 0 {
		if !c.prepareXMM(u) {
			return unit(c, u)
		}
	}
	x := c.units.Context
	if u.Mem {
		at := c.target(u)
		if u.OperandSize == 16 {
			p := c.readable(at, 16)
			if p == nil || misaligned(u, at) {
				return unit(c, u)
			}
			*(*[2]uint64)(unsafe.Pointer(&x.Scratch)) = *(*[2]uint64)(p)
		} else {
			v, ok := c.load(at, u.OperandSize)
			if !ok {
				return faulted
			}
			*(*uint64)(unsafe.Pointer(&x.Scratch)) = v
		}
	}
	general := u.s
	if general < decode.None {
		x.GPR[rax] = c.R[general]
	}
	if u.d&xmmArithmetic != 0 {
		if s := c.runArithmetic(u); s != next {
			return s
		}
	} else {
		c.units.code.At(u.thunk).RunXMM(x)
	}
	if u.d&xmmGeneral != 0 {
		c.R[general] = x.GPR[rax]
	}
	if u.d&xmmFlags != 0 {
		c.flags.setBits(flagsStatus, x.Flags)
	}
	return next
}

// What a uop's d says of an instruction that runXMM executes; s is its general register.
const (
	xmmArithmetic = 1 << iota // it uses MXCSR, and may raise an exception
	xmmGeneral                // it writes the general register
	xmmFlags                  // it writes the status flags
)

// runArithmetic runs an instruction that may raise an exception of SSE, with these masked: it is undone if it has.
func (c *CPU) runArithmetic(u *uop) status {
	x := c.units.Context
	before := *c.xmm(u.Reg)
	mxcsr := binary.LittleEndian.Uint32(x.FX[fxMXCSR:])
	binary.LittleEndian.PutUint32(x.FX[fxMXCSR:], quiet(mxcsr))
	c.units.code.At(u.thunk).RunXMM(x)
	raised := binary.LittleEndian.Uint32(x.FX[fxMXCSR:]) & mxcsrExceptions
	if unmasked(mxcsr, raised) != 0 {
		*c.xmm(u.Reg) = before
		return c.raiseSSE(mxcsr, raised)
	}
	binary.LittleEndian.PutUint32(x.FX[fxMXCSR:], mxcsr|raised)
	return next
}

// arithmetic reports whether an instruction uses MXCSR.
func arithmetic(in *decode.Inst) bool {
	o := in.Opcode
	switch in.Map {
	case decode.Two:
		return o >= 0x2A && o <= 0x2F && o != 0x2B || o >= 0x51 && o <= 0x5F && (o < 0x54 || o > 0x57) || o == 0x7C || o == 0x7D || o == 0xC2 || o == 0xD0 || o == 0xE6
	case decode.Op3A:
		return o >= 0x08 && o <= 0x0B || o == 0x40 || o == 0x41
	}
	return false
}

// prepareXMM makes the code; false: the instruction is unit's.
func (c *CPU) prepareXMM(u *uop) bool {
	general, writes := generalOperand(&u.Inst)
	e, _ := encode(&u.Inst, true)
	x := native.XMM{Instruction: e.b[:e.n], Registers: []byte{byte(u.Reg & 15)}, Arithmetic: arithmetic(&u.Inst), General: general < decode.None}
	if !u.Mem && u.RM != u.Reg {
		x.Registers = append(x.Registers, byte(u.RM&15))
	}
	if u.Map == decode.Op38 && (u.Opcode == 0x10 || u.Opcode == 0x14 || u.Opcode == 0x15) && u.Reg != 0 && (u.Mem || u.RM != 0) {
		x.Registers = append(x.Registers, 0)
	}
	u.s, u.d = general, 0
	if x.Arithmetic {
		u.d |= xmmArithmetic
	}
	if writes {
		u.d |= xmmGeneral
	}
	if u.Map == decode.Two && (u.Opcode == 0x2E || u.Opcode == 0x2F) || u.Map == decode.Op38 && u.Opcode == 0x17 {
		x.Flags, u.d = true, u.d|xmmFlags
	}
	t, err := c.units.code.AddXMM(x)
	if err == native.ErrFull {
		c.forgetThunks()
		t, err = c.units.code.AddXMM(x)
	}
	u.thunk = t
	return err == nil
}
