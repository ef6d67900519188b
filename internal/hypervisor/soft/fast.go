package soft

import (
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// The instructions that 64-bit code consists of for the most part, each by a handler of its own for its size and kind
// of operands: fastops.go, which genfast writes. What they do is as in the handlers of table.go.

//go:generate go run ./genfast

// The operands of a fast handler: destination and source.
const (
	formRR = iota // register, register
	formRI        // register, immediate
	formRM        // register, memory
	formMR        // memory, register
	formMI        // memory, immediate
	forms
)

// Sizes of operands of fast handlers.
const (
	size4 = iota
	size8
	size1
	sizes
)

type fastForms [sizes][forms]exec

// register is a general register, or what stands in its place in an address.
func (c *CPU) register(r decode.Reg) *uint64 {
	return (*uint64)(unsafe.Add(unsafe.Pointer(&c.R), uintptr(r)*8))
}

// target is the address of a memory operand of 64-bit code.
func (c *CPU) target(u *uop) uint64 {
	return c.bases[u.Seg&7] + *c.register(u.Base) + *c.register(u.Index)<<(u.Scale&3) + u.disp
}

// readable and changeable are the memory of n bytes at an address, where a translation is kept by which it may be read, or
// written; else nil.
func (c *CPU) readable(addr, n uint64) unsafe.Pointer {
	e := &c.view[slotOf(addr)]
	if off := addr ^ e.read; off <= pageSize-n {
		return unsafe.Add(unsafe.Pointer(e.page), off)
	}
	return nil
}

func (c *CPU) changeable(addr, n uint64) unsafe.Pointer {
	e := &c.view[slotOf(addr)]
	if off := addr ^ e.write; off <= pageSize-n {
		return unsafe.Add(unsafe.Pointer(e.page), off)
	}
	return nil
}

// fast gives u the handler of its own that it has in 64-bit code, if there is one.
func fast(u *uop) {
	if u.Mem && u.AddressSize != 8 || u.Lock {
		return
	}
	if u.Map == decode.Two && sse(u.Opcode) || u.Map == decode.Op3A || u.Map == decode.Op38 && u.Opcode < 0xF0 {
		fastXMM(u)
		return
	}
	size := size4
	switch u.OperandSize {
	case 8:
		size = size8
	case 1:
		size = size1
		if !u.REX && u.ModRM && (u.Reg&^3 == 4 && hasByteReg(&u.Inst) || !u.Mem && u.RM&^3 == 4) { // AH to BH
			return
		}
	case 2:
		return
	}
	switch u.Map {
	case decode.One:
		fastOne(u, size)
	case decode.Two:
		fastTwo(u, size)
	}
}

// hasByteReg reports whether ModRM's reg field is a register, and not part of the opcode.
func hasByteReg(in *decode.Inst) bool {
	return in.Opcode < 0x80 || in.Opcode >= 0x84 && in.Opcode < 0x8C
}

// operands choose among the handlers of an operation by the form: r/m and reg, or the other way.
func (u *uop) operands(of *fastForms, size int, toRM bool) {
	form := formRR
	switch {
	case toRM && u.Mem:
		form, u.s = formMR, u.Reg
	case toRM:
		u.d, u.s = u.RM, u.Reg
	case u.Mem:
		form, u.d = formRM, u.Reg
	default:
		u.d, u.s = u.Reg, u.RM
	}
	u.choose(of, size, form)
}

func (u *uop) choose(of *fastForms, size, form int) {
	u.do = of[size][form]
	if of == &fastALU[aluCmp] || of == &fastTest {
		u.form = uint8(1 + size*forms + form)
	}
}

// pair has a CMP or TEST execute the conditional branch that follows as well.
func (u *uop) pair(following *uop) {
	if u.form == 0 || following.Map == decode.One && following.Opcode&0xF0 != 0x70 || following.Map == decode.Two && following.Opcode&0xF0 != 0x80 || following.Map > decode.Two {
		return
	}
	of := &fastCmpBranch
	if u.isTest() {
		of = &fastTestBranch
	}
	u.do = of[(u.form-1)/forms][(u.form-1)%forms]
	u.condition = following.Opcode & 15
}

// isTest reports whether it is TEST, and not CMP.
func (u *uop) isTest() bool {
	o := u.Opcode
	return o == 0x84 || o == 0x85 || o == 0xA8 || o == 0xA9 || o == 0xF6 || o == 0xF7
}

// immediate is operands with r/m and an immediate.
func (u *uop) immediate(of *fastForms, size int) {
	if u.Mem {
		u.choose(of, size, formMI)
		return
	}
	u.d = u.RM
	u.choose(of, size, formRI)
}

func fastOne(u *uop, size int) {
	o := u.Opcode
	switch {
	case o < 0x40 && o&7 < 4:
		u.operands(&fastALU[o>>3], size, o&2 == 0)
	case o < 0x40 && o&7 < 6:
		u.d = rax
		u.choose(&fastALU[o>>3], size, formRI)
	case o&0xF8 == 0x50 && size == size8:
		u.do, u.s = fastPush, u.RM
	case o&0xF8 == 0x58 && size == size8 && u.RM != rsp:
		u.do, u.d = fastPop, u.RM
	case o&0xF0 == 0x70:
		u.do = fastJcc[o&15]
	case o == 0x63 && size == size8:
		u.do, u.d, u.s = fastMovsxd, u.Reg, u.RM
		if u.Mem {
			u.do = fastMovsxdMemory
		}
	case (o == 0x69 || o == 0x6B) && size != size1:
		u.do, u.d, u.s = fastIMul[size][2], u.Reg, u.RM
		if u.Mem {
			u.do = fastIMul[size][3]
		}
	case o >= 0x80 && o <= 0x83 && o != 0x82:
		u.immediate(&fastALU[u.Ext()], size)
	case o == 0x84 || o == 0x85:
		u.operands(&fastTest, size, true)
	case o == 0xA8 || o == 0xA9:
		u.d = rax
		u.choose(&fastTest, size, formRI)
	case (o == 0xF6 || o == 0xF7) && u.Ext() < 2:
		u.immediate(&fastTest, size)
	case o >= 0x88 && o <= 0x8B:
		u.operands(&fastMov, size, o&2 == 0)
	case o == 0x8D:
		if u.do, u.d = fastLea4, u.Reg; size == size8 {
			u.do = fastLea8
		}
	case o&0xF8 == 0xB8:
		u.do, u.d = fastMov[size][formRI], u.RM
	case o == 0xC6 || o == 0xC7:
		u.immediate(&fastMov, size)
	case (o == 0xC1 || o == 0xD1) && !u.Mem:
		if o == 0xD1 {
			u.Imm = 1
		}
		if shiftCount(u.OperandSize, uint8(u.Imm)) != 0 {
			u.do, u.d = fastShift[u.Ext()][size], u.RM
		}
	case o == 0xC3 && size == size8:
		u.do = fastRet
	case o == 0xE8 && size == size8:
		u.do = fastCall
	case o == 0xFF && u.Ext() < 2 && !u.Mem:
		u.do, u.d = fastIncDec[u.Ext()][size], u.RM
	case o == 0xFF && u.Ext() == 4 && !u.Mem:
		u.do, u.s = fastJmp, u.RM
	}
}

func fastTwo(u *uop, size int) {
	switch o := u.Opcode; {
	case o&0xF0 == 0x80:
		u.do = fastJcc[o&15]
	case o == 0xAF:
		u.do, u.d, u.s = fastIMul[size][0], u.Reg, u.RM
		if u.Mem {
			u.do = fastIMul[size][1]
		}
	case o == 0xB6 || o == 0xB7 || o == 0xBE || o == 0xBF:
		if !u.Mem && o&1 == 0 && !u.REX && u.RM&^3 == 4 || size == size1 {
			return
		}
		of := &fastExtend[o>>2&2|o&1][size]
		if u.do, u.d, u.s = of[0], u.Reg, u.RM; u.Mem {
			u.do = of[1]
		}
	}
}

func fastPush(c *CPU, u *uop) status {
	v, to := *c.register(u.s), c.R[rsp]-8
	if p := c.changeable(to, 8); p != nil {
		*(*uint64)(p) = v
	} else if !c.store(to, 8, v) {
		return faulted
	}
	c.R[rsp] = to
	return next
}

func fastPop(c *CPU, u *uop) status {
	from := c.R[rsp]
	if p := c.readable(from, 8); p != nil {
		*c.register(u.d) = *(*uint64)(p)
	} else if v, ok := c.load(from, 8); ok {
		*c.register(u.d) = v
	} else {
		return faulted
	}
	c.R[rsp] = from + 8
	return next
}

func fastCall(c *CPU, u *uop) status {
	back, to := c.RIP+uint64(u.Len), c.R[rsp]-8
	if p := c.changeable(to, 8); p != nil {
		*(*uint64)(p) = back
	} else if !c.store(to, 8, back) {
		return faulted
	}
	c.R[rsp] = to
	c.RIP = back + uint64(u.Imm)
	return branch
}

func fastRet(c *CPU, _ *uop) status {
	from, to := c.R[rsp], uint64(0)
	if p := c.readable(from, 8); p != nil {
		to = *(*uint64)(p)
	} else if v, ok := c.load(from, 8); ok {
		to = v
	} else {
		return faulted
	}
	if !isCanonical(to) {
		return c.raise(vectorGP)
	}
	c.R[rsp], c.RIP = from+8, to
	return jumped
}

func fastJmp(c *CPU, u *uop) status {
	to := *c.register(u.s)
	if !isCanonical(to) {
		return c.raise(vectorGP)
	}
	c.RIP = to
	return jumped
}

func fastLea4(c *CPU, u *uop) status {
	*c.register(u.d) = uint64(uint32(*c.register(u.Base) + *c.register(u.Index)<<(u.Scale&3) + u.disp))
	return next
}

func fastLea8(c *CPU, u *uop) status {
	*c.register(u.d) = *c.register(u.Base) + *c.register(u.Index)<<(u.Scale&3) + u.disp
	return next
}

func fastMovsxd(c *CPU, u *uop) status {
	*c.register(u.d) = uint64(int32(*c.register(u.s)))
	return next
}

func fastMovsxdMemory(c *CPU, u *uop) status {
	v, ok := c.load(c.target(u), 4)
	if !ok {
		return faulted
	}
	*c.register(u.d) = uint64(int32(v))
	return next
}
