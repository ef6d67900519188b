package soft

import (
	"encoding/binary"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// Offsets in an FXSAVE area.
const (
	fxFCW   = 0
	fxFSW   = 2
	fxFOP   = 6
	fxFIP   = 8
	fxFDP   = 16
	fxMXCSR = 24
	fxXMM   = 160
	fxMask  = 28
	fxXMM8  = 288
	fxEnd   = 416
)

// Bits of MXCSR: all that there are, exceptions that were raised, and their masks, which are mxcsrMaskShift bits higher.
const (
	mxcsrKnown      = 0xFFFF
	mxcsrExceptions = 0x3F
	mxcsrMasks      = mxcsrExceptions << mxcsrMaskShift
	mxcsrMaskShift  = 7
)

// unmasked are the exceptions among raised that mxcsr does not mask.
func unmasked(mxcsr, raised uint32) uint32 { return raised &^ (mxcsr >> mxcsrMaskShift) }

// quiet is MXCSR with no exception raised and all masked.
func quiet(mxcsr uint32) uint32 { return mxcsr&^mxcsrExceptions | mxcsrMasks }

// x87Exceptions are the exception flags of the status word, and their masks in the control word; of
// precision a result is stored all the same.
const (
	x87Exceptions = 0x3F
	x87Precision  = 0x20
)

// x87Pending are the exceptions of x87 that are not masked: the next instruction that waits raises them.
func (c *CPU) x87Pending() uint16 {
	fx := &c.units.FX
	return binary.LittleEndian.Uint16(fx[fxFSW:]) &^ binary.LittleEndian.Uint16(fx[fxFCW:]) & x87Exceptions
}

// unitUse is what an instruction of the units works on.
type unitUse struct{ x87, mmx, xmm bool }

// useOf finds it.
func useOf(in *decode.Inst) unitUse {
	if in.Map == decode.One {
		return unitUse{x87: true}
	}
	p, o := prefixOf(in), in.Opcode
	if in.Map != decode.Two {
		return unitUse{mmx: p == prefixNone, xmm: p != prefixNone}
	}
	switch {
	case (o == 0x2A || o == 0x2C || o == 0x2D) && p&prefixPacked != 0, o == 0xD6 && p != prefix66:
		return unitUse{mmx: true, xmm: true}
	case p == prefixNone && (o >= 0x60 && o <= 0x7F || o == 0xC4 || o == 0xC5 || o >= 0xD1):
		return unitUse{mmx: true}
	}
	return unitUse{xmm: true}
}

// unitReady raises what comes before an instruction of the units begins. Source: Intel SDM volume 2,
// tables of exception conditions; volume 3, chapter 2.5.
func (c *CPU) unitReady(in *decode.Inst) status {
	use := useOf(in)
	switch {
	case in.Map == decode.One && in.Opcode == 0x9B: // WAIT
		if c.cr0&(cr0MP|cr0TS) == cr0MP|cr0TS {
			return c.raise(vectorNM)
		}
	case use.x87 && c.cr0&(cr0EM|cr0TS) != 0:
		return c.raise(vectorNM)
	case !use.x87 && c.cr0&cr0EM != 0, use.xmm && c.cr4&cr4OSFXSR == 0:
		return c.raise(vectorUD)
	case !use.x87 && c.cr0&cr0TS != 0:
		return c.raise(vectorNM)
	}
	if (use.mmx || use.x87 && waits(in)) && c.x87Pending() != 0 {
		if c.cr0&cr0NE == 0 {
			return c.unsupportedHere("an x87 exception with CR0.NE clear")
		}
		return c.raise(vectorMF)
	}
	return next
}

// controlX87 reports whether an instruction is one of x87's control, which no pointers to
// instructions are kept of: FLDENV, FLDCW, FNSTENV, FNSTCW, FNCLEX, FNINIT, FRSTOR, FNSAVE, FNSTSW.
func controlX87(in *decode.Inst) bool {
	e := in.Ext()
	switch in.Opcode {
	case 0xD9:
		return in.Mem && e >= 4
	case 0xDB:
		return !in.Mem && e == 4
	case 0xDD:
		return in.Mem && e&4 != 0 && e != 5
	case 0xDF:
		return !in.Mem && e == 4
	}
	return in.Opcode == 0x9B
}

// waits reports whether an instruction of x87 raises exceptions that are pending.
func waits(in *decode.Inst) bool {
	if !controlX87(in) || in.Opcode == 0x9B {
		return true
	}
	return in.Mem && (in.Opcode == 0xD9 && in.Ext() <= 5 || in.Opcode == 0xDD && in.Ext() == 4) // FLDENV, FLDCW, FRSTOR
}

// pointX87 keeps the pointers to the last instruction of x87 and its operand, which the host's
// processor has of the code that it has run.
func (c *CPU) pointX87(u *uop, before *[512]byte) {
	fx := &c.units.FX
	if u.Map == decode.One && controlX87(&u.Inst) {
		return
	}
	copy(fx[fxFOP:fxMXCSR], before[fxFOP:fxMXCSR])
	if u.Map != decode.One {
		return
	}
	binary.LittleEndian.PutUint64(fx[fxFIP:], c.RIP)
	modRM := uint16(u.RM&7) | 0xC0
	if u.Mem {
		modRM = 0 // only its extension
		binary.LittleEndian.PutUint64(fx[fxFDP:], c.offset(u))
	}
	if c.x87Pending() != 0 {
		binary.LittleEndian.PutUint16(fx[fxFOP:], uint16(u.Opcode&7)<<8|uint16(u.Ext())<<3|modRM)
	}
}

// storesX87 reports whether an instruction that has run stores its operand: not where it has raised an
// exception that is not masked, but of precision.
func (c *CPU) storesX87(in *decode.Inst) bool {
	return in.Map != decode.One || controlX87(in) || c.x87Pending()&^x87Precision == 0
}

// group15 is FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, fences and CLFLUSH.
func group15(c *CPU, u *uop) status {
	if c.units.Context == nil || prefixOf(&u.Inst) != prefixNone {
		return c.raise(vectorUD)
	}
	if !u.Mem {
		if u.Ext() >= 5 {
			return next
		}
		return c.raise(vectorUD)
	}
	addr := c.address(u)
	switch u.Ext() {
	case 0, 1:
		if c.cr0&(cr0TS|cr0EM) != 0 {
			return c.raise(vectorNM)
		}
		if addr&15 != 0 {
			return c.raise(vectorGP)
		}
		if u.Ext() == 0 {
			return c.saveFX(addr, u.W)
		}
		return c.restoreFX(addr, u.W)
	case 2, 3:
		if c.cr0&cr0EM != 0 || c.cr4&cr4OSFXSR == 0 {
			return c.raise(vectorUD)
		}
		if c.cr0&cr0TS != 0 {
			return c.raise(vectorNM)
		}
		return c.moveMXCSR(addr, u.Ext() == 2)
	case 7: // CLFLUSH
		if _, ok := c.load(addr, 1); !ok {
			return faulted
		}
		return next
	}
	return c.raise(vectorUD)
}

func (c *CPU) moveMXCSR(addr uint64, load bool) status {
	at := c.units.FX[fxMXCSR:]
	if !load {
		if !c.store(addr, 4, uint64(binary.LittleEndian.Uint32(at))) {
			return faulted
		}
		return next
	}
	v, ok := c.load(addr, 4)
	if !ok {
		return faulted
	}
	if v&^mxcsrKnown != 0 {
		return c.raise(vectorGP)
	}
	binary.LittleEndian.PutUint32(at, uint32(v))
	return next
}

// fxBytes is how much of an FXSAVE area has registers: without XMM8 to XMM15 outside of 64-bit mode.
func (c *CPU) fxBytes() int {
	if c.mode == decode.Mode64 {
		return fxEnd
	}
	return fxXMM8
}

// saveFX and restoreFX move all registers. Without REX.W pointers have 32 bits, and selectors that
// are 0 as those of processors of today.
func (c *CPU) saveFX(addr uint64, wide bool) status {
	if !c.writable(addr, 512) {
		return faulted
	}
	b := c.units.FX
	binary.LittleEndian.PutUint32(b[fxMask:], mxcsrKnown)
	if !wide {
		narrowPointers(&b)
	}
	if !c.copyOut(addr, b[:c.fxBytes()]) {
		return faulted
	}
	return next
}

func (c *CPU) restoreFX(addr uint64, wide bool) status {
	b := c.units.FX
	if !c.copyIn(b[:c.fxBytes()], addr) {
		return faulted
	}
	if binary.LittleEndian.Uint32(b[fxMXCSR:])&^mxcsrKnown != 0 {
		return c.raise(vectorGP)
	}
	if !wide {
		narrowPointers(&b)
	}
	c.units.FX = b
	return next
}

// narrowPointers cuts x87's pointers to 32 bits.
func narrowPointers(b *[512]byte) {
	clear(b[fxFIP+4 : fxFDP])
	clear(b[fxFDP+4 : fxMXCSR])
}
