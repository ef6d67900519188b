package soft

import (
	"math/rand/v2"

	"bytes"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
	"os"
	osexec "os/exec"
	"testing"
)

// fastops.go is as genfast writes it.
func TestFastOpsAreCurrent(t *testing.T) {
	want, err := osexec.Command("go", "run", "./genfast", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("fastops.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("fastops.go is not what genfast writes: run go generate here")
	}
}

// A comparison that executes the branch that follows leaves what both leave one by one.
func TestPairs(t *testing.T) {
	s := newSandbox(t)
	c := newCPU64(t, s)
	r := rand.New(rand.NewPCG(*seed, 3))
	at := s.addr + pageSize // the code; operands are in the page before
	b := make([]byte, decode.MaxLength)
	seen := map[[3]uint8]bool{}
	for range 400_000 {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		b[0] = []byte{0x48, 0x40 | b[0]&7, 0x38 | b[0]&7, 0x80 | b[0]&3, 0x84 | b[0]&1, 0xA8 | b[0]&1, 0xF6 | b[0]&1}[r.IntN(7)]
		in, err := decode.Decode(b, decode.Mode64)
		if u := newUop(in, decode.Mode64); err != nil || u.form == 0 || in.Mem && (in.Base >= decode.None || in.Index < decode.None || in.Seg >= decode.FS) {
			continue
		}
		for i := range c.R {
			c.R[i] = r.Uint64() >> r.IntN(64)
			if r.IntN(3) == 0 {
				c.R[i] = uint64(in.Imm)
			}
		}
		if in.Mem {
			c.R[in.Base] = s.addr + r.Uint64N(pageSize-8) - uint64(int64(in.Disp))
		}
		code := append(append([]byte{}, b[:in.Len]...), 0x70|byte(r.Uint32())&15, 1, 0xF4, 0xF4)
		copy(s.own[pageSize:], code)
		c.flushTLB(true)
		c.SetFlags(r.Uint64() & flagsStatus)
		registers, flags := c.R, c.Flags()
		var e hypervisor.Exit
		c.RIP = at
		for range 2 {
			if c.single(&e) {
				t.Fatalf("% x: %+v", code, e)
			}
		}
		wantRIP, want := c.RIP, c.Flags()
		c.R, c.RIP, c.retired = registers, at, 0
		c.SetFlags(flags)
		c.attend.Store(true)
		for c.retired < 2 { // it ends early where instructions are forgotten
			if c.stepping(&e) {
				t.Fatalf("% x: %+v", code, e)
			}
		}
		if c.RIP != wantRIP && (c.RIP != wantRIP+1 || !c.halted) || c.Flags() != want {
			t.Fatalf("% x: RIP %#x, flags %#x, %d instructions; one by one %#x, %#x", code, c.RIP, c.Flags(), c.retired, wantRIP, want)
		}
		c.halted = false
		seen[[3]uint8{in.Opcode, in.OperandSize, code[in.Len] & 15}] = true
	}
	if len(seen) < 250 {
		t.Errorf("only %d pairs were compared", len(seen))
	}
}
