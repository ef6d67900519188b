#include "textflag.h"

// func call(code uintptr, c *Context)
//
// The code may change every register but SP; BP is saved in this frame.
TEXT ·call(SB), NOSPLIT, $16-16
	MOVQ code+0(FP), AX
	MOVQ c+8(FP), BX
	CALL AX
	RET
