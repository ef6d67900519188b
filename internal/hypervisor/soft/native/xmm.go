package native

import "encoding/binary"

// XMM is an instruction that uses XMM registers, and RAX as its only general register. A memory operand is in Scratch, by
// RBX, which is the Context's address.
type XMM struct {
	Instruction []byte
	Registers   []byte // XMM registers that it reads or writes
	General     bool   // it uses RAX
	Arithmetic  bool   // it uses MXCSR
	Flags       bool   // it writes the status flags
}

// Offsets in the area of FXSAVE.
const (
	fxMXCSR = 24
	fxXMM   = 160
)

// AddXMM makes code that executes x with these registers only, and returns where it is; see At. It is never 0.
func (c *Code) AddXMM(x XMM) (at uint32, err error) {
	var b []byte
	control := func(ext byte, offset uint32) { // LDMXCSR is 2, STMXCSR 3
		b = binary.LittleEndian.AppendUint32(append(b, 0x0F, 0xAE, 0x83|ext<<3), offset)
	}
	registers := func(opcode byte) { // MOVUPS: 10 loads, 11 stores
		for _, r := range x.Registers {
			if r >= 8 {
				b = append(b, 0x44)
			}
			b = binary.LittleEndian.AppendUint32(append(b, 0x0F, opcode, 0x83|r&7<<3), fxXMM+16*uint32(r))
		}
	}
	if x.Arithmetic {
		control(2, fxMXCSR)
	}
	registers(0x10)
	if x.General {
		b = move(b, 0x8B, 0)
	}
	b = append(b, x.Instruction...)
	registers(0x11)
	if x.General {
		b = move(b, 0x89, 0)
	}
	if x.Flags {
		b = append(b, 0x9C, 0x8F, 0x83) // pushfq; pop qword [rbx+flags]
		b = binary.LittleEndian.AppendUint32(b, offsetFlags)
	}
	if x.Arithmetic {
		control(3, fxMXCSR)
		control(2, offsetMXCSR)
	}
	return c.put(append(b, 0xC3))
}

// RunXMM runs what AddXMM has made.
func (t Thunk) RunXMM(c *Context) {
	c.mxcsr = defaultMXCSR
	call(t.at, c)
}
