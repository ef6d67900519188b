package soft

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// An instruction of SSE with its registers only leaves what it leaves with all of them loaded and stored.
func TestXMMRegistersAlone(t *testing.T) {
	s := newSandbox(t)
	c := newCPU64(t, s)
	c.cr4 = cr4OSFXSR | cr4OSXMMEXCPT
	c.units = newUnits(hostCode(t))
	r := rand.New(rand.NewPCG(*seed, 2))
	type state struct {
		fx    [416]byte
		gpr   [16]uint64
		flags uint64
		ram   []byte
		s     status
		fault Fault
	}
	run := func(u *uop, do exec) (st state) {
		c.fault = Fault{}
		st.s = do(c, u)
		st.fx, st.gpr, st.flags, st.ram = [416]byte(c.units.FX[:416]), c.R, c.Flags(), bytes.Clone(s.own)
		clear(st.fx[28:32]) // MXCSR_MASK, which FXSAVE writes
		if st.s == faulted {
			st.fault = c.fault
		}
		return st
	}
	seen := map[[3]byte]bool{}
	b := make([]byte, decode.MaxLength)
	for n := 0; n < 100_000; {
		in, ok := randomUnit(r, b)
		if !ok || in.Mem && (in.Base >= decode.None || in.Index < decode.None || in.Seg >= decode.FS || in.AddressSize != 8) {
			continue
		}
		u := newUop(in, decode.Mode64)
		if handlerXMM(&in) == nil || in.Map == decode.One || in.Map == decode.Two && !sse(in.Opcode) || in.Map == decode.Op38 && in.Opcode >= 0xF0 {
			continue
		}
		n++
		if n%8 == 1 {
			for i := range s.own {
				s.own[i] = byte(r.Uint32())
			}
			for i := fxXMM; i < 416; i++ {
				c.units.FX[i] = byte(r.Uint32())
			}
			for i := range c.R {
				c.R[i] = r.Uint64()
			}
			c.units.FX[fxMXCSR], c.units.FX[fxMXCSR+1] = byte(r.Uint32()), byte(r.Uint32())&0x7F
			if r.IntN(2) == 0 {
				c.units.FX[fxMXCSR], c.units.FX[fxMXCSR+1] = 0x80, 0x1F
			}
		}
		if in.Mem {
			c.R[in.Base] = s.addr + 256 + r.Uint64N(2*pageSize-512) - uint64(int64(in.Disp))
			if r.IntN(2) == 0 {
				c.R[in.Base] = (c.R[in.Base]+uint64(int64(in.Disp)))&^15 - uint64(int64(in.Disp))
			}
		}
		before := run(&u, nothing)
		want := run(&u, unit)
		copy(c.units.FX[:], before.fx[:])
		copy(s.own, before.ram)
		c.R = before.gpr
		c.SetFlags(before.flags)
		if got := run(&u, u.do); got.s != want.s || got.fault != want.fault || got.fx != want.fx || got.gpr != want.gpr || got.flags != want.flags || !bytes.Equal(got.ram, want.ram) {
			t.Fatalf("% x: %+v\nwith its registers alone %+v %d\n%x\nwith all of them         %+v %d\n%x", b[:in.Len], in, got.fault, got.s, got.fx, want.fault, want.s, want.fx)
		}
		seen[[3]byte{byte(in.Map), in.Opcode, prefixOf(&in)}] = true
	}
	if len(seen) < 150 {
		t.Errorf("only %d instructions were compared", len(seen))
	}
}
