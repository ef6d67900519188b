#include "textflag.h"

// func call(code uintptr, c *Context)
//
// The code may change every register but SP; BP is saved in this frame.
TEXT ·call(SB), NOSPLIT, $16-16
	MOVQ code+0(FP), AX
	MOVQ c+8(FP), BX
	CALL AX
	RET

// func cpuid(leaf uint32) (a, b, c, d uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	XORL CX, CX
	CPUID
	MOVL AX, a+8(FP)
	MOVL BX, b+12(FP)
	MOVL CX, c+16(FP)
	MOVL DX, d+20(FP)
	RET
