package soft

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// Random instructions of x87, MMX and SSE with random registers and operands: each is an exception, or
// is executed, and none ends this process or writes beyond its operand.
func TestUnitsBearAnything(t *testing.T) {
	s := newSandbox(t)
	c := newCPU64(t, s)
	c.cr4 = cr4OSFXSR
	c.units = newUnits(hostCode(t))
	r := rand.New(rand.NewPCG(*seed, 1))
	b := make([]byte, decode.MaxLength)
	executed := map[[3]byte]bool{}
	for n := 0; n < 300_000; {
		in, ok := randomUnit(r, b)
		if !ok {
			continue
		}
		n++
		if n%8 == 1 {
			for i := range c.units.FX[:416] {
				if i < 24 || i > 31 {
					c.units.FX[i] = byte(r.Uint32())
				}
			}
			c.units.FX[fxMXCSR], c.units.FX[fxMXCSR+1] = byte(r.Uint32()), byte(r.Uint32())&0x7F
		}
		for i := range c.R {
			c.R[i] = s.addr + pageSize/2 + r.Uint64N(1024)
		}
		if in.Mem {
			if in.Base < decode.None {
				c.R[in.Base] -= uint64(int64(in.Disp))
			}
		}
		if _, ok := c.stepOnce(b[:in.Len]); ok {
			executed[[3]byte{byte(in.Map), in.Opcode, prefixOf(&in)}] = true
		}
	}
	if len(executed) < 250 {
		t.Errorf("only %d kinds of instructions were executed", len(executed))
	}
}

// randomUnit writes a random instruction of x87, MMX or SSE to b; false: it is none.
func randomUnit(r *rand.Rand, b []byte) (in decode.Inst, ok bool) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	i := 0
	if r.IntN(2) == 0 {
		b[i] = []byte{0x66, 0xF2, 0xF3}[r.IntN(3)]
		i++
	}
	if r.IntN(4) == 0 {
		b[i] = 0x40 | b[i]&15
		i++
	}
	switch r.IntN(4) {
	case 0:
		b[i] = 0xD8 | b[i]&7
	case 1, 2:
		b[i] = 0x0F
	case 3:
		b[i], b[i+1] = 0x0F, 0x38|b[i+1]&2
	}
	in, err := decode.Decode(b, decode.Mode64)
	if err != nil {
		return in, false
	}
	do := handler(&in)
	return in, do != nil && reflect.ValueOf(do).Pointer() == reflect.ValueOf(unit).Pointer()
}
