#include "textflag.h"

// func cas8(p unsafe.Pointer, old, new uint8) bool
TEXT ·cas8(SB), NOSPLIT, $0-17
	MOVQ p+0(FP), BX
	MOVB old+8(FP), AX
	MOVB new+9(FP), CX
	LOCK
	CMPXCHGB CX, (BX)
	SETEQ ret+16(FP)
	RET

// func cas16(p unsafe.Pointer, old, new uint16) bool
TEXT ·cas16(SB), NOSPLIT, $0-17
	MOVQ p+0(FP), BX
	MOVW old+8(FP), AX
	MOVW new+10(FP), CX
	LOCK
	CMPXCHGW CX, (BX)
	SETEQ ret+16(FP)
	RET

// func cas32(p unsafe.Pointer, old, new uint32) bool
TEXT ·cas32(SB), NOSPLIT, $0-17
	MOVQ p+0(FP), BX
	MOVL old+8(FP), AX
	MOVL new+12(FP), CX
	LOCK
	CMPXCHGL CX, (BX)
	SETEQ ret+16(FP)
	RET

// func cas64(p unsafe.Pointer, old, new uint64) bool
TEXT ·cas64(SB), NOSPLIT, $0-25
	MOVQ p+0(FP), BX
	MOVQ old+8(FP), AX
	MOVQ new+16(FP), CX
	LOCK
	CMPXCHGQ CX, (BX)
	SETEQ ret+24(FP)
	RET

// func cas128(p unsafe.Pointer, oldLow, oldHigh, newLow, newHigh uint64) (low, high uint64, ok bool)
TEXT ·cas128(SB), NOSPLIT, $0-57
	MOVQ p+0(FP), DI
	MOVQ oldLow+8(FP), AX
	MOVQ oldHigh+16(FP), DX
	MOVQ newLow+24(FP), BX
	MOVQ newHigh+32(FP), CX
	LOCK
	CMPXCHG16B (DI)
	MOVQ AX, low+40(FP)
	MOVQ DX, high+48(FP)
	SETEQ ok+56(FP)
	RET
