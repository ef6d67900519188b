package soft

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// Instructions of x87, MMX and SSE leave registers, flags and memory as the same bytes do that the host
// executes at the same addresses.
func TestUnitsAgainstTheHost(t *testing.T) {
	p := newPair(t, 2)
	p.cpu.cr4 = cr4OSFXSR
	p.cpu.units = newUnits(hostCode(t))
	b := make([]byte, decode.MaxLength)
	withMemory := map[[3]byte]bool{}
	for n := 0; n < 300_000; {
		in, ok := randomUnit(p.r, b)
		if !ok || !hostTakes(&in) {
			continue
		}
		n++
		if n%16 == 1 {
			p.shuffle()
			p.shuffleUnits()
		}
		p.prepare(&in)
		copy(p.host.FX[:], p.cpu.units.FX[:])
		before := p.host.FX
		if p.runsUnit(t, &in, b[:in.Len]) && in.Mem {
			withMemory[[3]byte{byte(in.Map), in.Opcode, prefixOf(&in)}] = true
		}
		if t.Failed() {
			t.Fatalf("instruction %d (-seed %d): % x: %+v\nFX before: %x", n, *seed, b[:in.Len], in, before)
		}
	}
	if len(withMemory) < 200 {
		t.Errorf("only %d kinds of instructions were compared with operands in memory", len(withMemory))
	}
}

// hostTakes reports whether the host can execute it alone: not with the stack's register, and not what loads
// masks of exceptions, which the host would raise, or stores where the instruction lay.
func hostTakes(in *decode.Inst) bool {
	switch {
	case in.Seg >= decode.FS, in.Reg == rsp, !in.Mem && in.RM == rsp:
		return false
	case in.Mem && (in.Base >= decode.None || in.Base == rsp || in.Index == rsp || in.Index == in.Base):
		return false
	case in.Map == decode.One && in.Mem && in.Opcode == 0xD9 && in.Ext() >= 4 && in.Ext() <= 6: // FLDENV, FLDCW, FNSTENV
		return false
	case in.Map == decode.One && in.Mem && in.Opcode == 0xDD && (in.Ext() == 4 || in.Ext() == 6): // FRSTOR, FNSAVE
		return false
	}
	return true
}

// shuffleUnits gives the units new registers; all exceptions are masked, since the host would take them.
func (p *pair) shuffleUnits() {
	fx := &p.cpu.units.FX
	for i := range fx[:416] {
		fx[i] = byte(p.r.Uint32())
	}
	binary.LittleEndian.PutUint16(fx[fxFCW:], 0x37F)
	binary.LittleEndian.PutUint16(fx[fxFSW:], uint16(p.r.IntN(8))<<11)
	binary.LittleEndian.PutUint32(fx[fxMXCSR:], 0x1F80)
	clear(fx[5:fxMXCSR])
	clear(fx[fxMXCSR+4 : 32])
	for r := range 8 {
		clear(fx[32+16*r+10 : 32+16*r+16]) // beyond an x87 register's 80 bits
	}
}

// runsUnit executes it on both and compares; false: it was an exception.
func (p *pair) runsUnit(t *testing.T, in *decode.Inst, b []byte) bool {
	p.cpu.RIP = 0
	gpr, fx := p.cpu.R, p.cpu.units.FX
	if _, ok := p.cpu.stepOnce(b); !ok { // the host is spared it
		p.cpu.R, p.cpu.units.FX = gpr, fx
		copy(p.own, p.real)
		return false
	}
	thunk, err := p.code.Add(b, true)
	if err != nil {
		p.code.Reset()
		if thunk, err = p.code.Add(b, true); err != nil {
			t.Fatal(err)
		}
	}
	thunk.Run(p.host)
	p.host.GPR[rsp] = p.cpu.R[rsp]
	have, want := comparableFX(p.cpu.units.FX), comparableFX(p.host.FX)
	if p.host.GPR != p.cpu.R || (p.host.Flags^p.cpu.Flags())&flagsStatus != 0 || !bytes.Equal(p.own, p.real) || have != want {
		t.Errorf("the host has %x, flags %#x\nhere it is  %x, flags %#x", p.host.GPR, p.host.Flags, p.cpu.R, p.cpu.Flags())
		for i := range have {
			if have[i] != want[i] {
				t.Errorf("FX[%d] is %#x, the host has %#x", i, have[i], want[i])
			}
		}
		for i := range p.own {
			if p.own[i] != p.real[i] {
				t.Errorf("byte %#x is %#x, the host has %#x", i, p.own[i], p.real[i])
			}
		}
	}
	return true
}

// comparableFX is what of the registers does not depend on where the instruction lay.
func comparableFX(fx [512]byte) [512]byte {
	clear(fx[6:fxMXCSR]) // the last instruction's opcode and addresses
	clear(fx[fxMXCSR+4 : 32])
	clear(fx[416:])
	return fx
}

// The control word's masks, which the host does not get, come back to the guest that stores them; the
// status word keeps what was raised.
func TestControlAndStatusWordAreKept(t *testing.T) {
	s := newSandbox(t)
	c := newCPU64(t, s)
	c.units = newUnits(hostCode(t))
	c.R[rax] = s.addr
	s.own[0], s.own[1] = 0x3A, 0x03 // division and invalid operation are not masked
	do := func(b ...byte) {
		t.Helper()
		if f, ok := c.stepOnce(b); !ok {
			t.Fatalf("% x: %+v", b, f)
		}
	}
	word := func(off int) uint16 { return binary.LittleEndian.Uint16(s.own[off:]) }
	do(0xD9, 0x28) // fldcw [rax]
	binary.LittleEndian.PutUint16(c.units.FX[fxFSW:], 0x20)
	do(0xD9, 0x78, 0x10) // fnstcw [rax+16]
	do(0xDD, 0x78, 0x20) // fnstsw [rax+32]
	do(0xD9, 0x70, 0x40) // fnstenv [rax+64]
	do(0xD9, 0x78, 0x12) // fnstcw [rax+18]
	do(0xDB, 0xE3)       // fninit
	do(0xD9, 0x78, 0x14) // fnstcw [rax+20]
	if word(0x10) != 0x37A || word(0x20) != 0x20 || word(0x40) != 0x37A || word(0x12) != 0x37F || word(0x14) != 0x37F {
		t.Errorf("control words %#x, %#x, %#x, %#x; status word %#x", word(0x10), word(0x40), word(0x12), word(0x14), word(0x20))
	}
}
