package soft

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// surviving has the guest's exceptions go on with the byte after the instruction's first one.
func (g *tiny) surviving(r ring) {
	for v := range 32 {
		code := "48 83 04 24 01 48 cf"
		drop := "48 83 c4 08 "
		switch {
		case r == real16:
			code, drop = "55 89 e5 83 46 02 01 5d cf", ""
		case r >= flat0:
			code, drop = "83 04 24 01 cf", "83 c4 04 "
		}
		if hasCode(uint8(v)) {
			code = drop + code
		}
		copy(g.ram[tinyHandlers+16*v:], g.bytes(code))
	}
}

// random gives the registers values, of which many are addresses.
func (g *tiny) random(r *rand.Rand) {
	for i := range g.R {
		switch r.IntN(4) {
		case 0:
			g.R[i] = r.Uint64()
		case 1:
			g.R[i] = r.Uint64N(64)
		default:
			if i != rsp {
				g.R[i] = r.Uint64N(uint64(len(g.ram)))
			}
		}
	}
	g.R[rsp] = tinyStack
	g.flags.other |= r.Uint64() & (flagTF | flagDF | flagAC | flagNT | flagIOPL)
	if g.cr0 |= r.Uint64() & (cr0AM | cr0TS | cr0EM | cr0MP); r.IntN(4) == 0 {
		for i := range registers4 {
			g.dr[i] = tinyCode + r.Uint64N(4096)
		}
		g.dr[7] = r.Uint64() & dr7Known
		g.armBreakpoints()
	}
	for i := range g.CPU.units.FX[:fxMXCSR] {
		g.CPU.units.FX[i] = byte(r.Uint32())
	}
	g.setMode()
	g.attend.Store(true)
}

// kickedWithin runs the guest until a Kick ends it, or it ends by itself; it returns how long the Kick took.
func (g *tiny) kickedWithin(after time.Duration) (took time.Duration) {
	g.t.Helper()
	var kicked time.Time
	done := make(chan struct{})
	timer := time.AfterFunc(after, func() {
		kicked = time.Now()
		g.Kick()
		close(done)
	})
	for range 10_000 {
		if err := g.Run(&g.exit); err != nil {
			g.t.Fatal(err)
		}
		switch g.exit.Kind {
		case hypervisor.ExitPortIn, hypervisor.ExitMMIORead:
			for i := range g.exit.Data {
				g.exit.Data[i] = 0xA5
			}
			continue
		case hypervisor.ExitPortOut, hypervisor.ExitMMIOWrite, hypervisor.ExitEOI:
			continue
		case hypervisor.ExitKicked:
			<-done
			return time.Since(kicked)
		case hypervisor.ExitShutdown, hypervisor.ExitInternalError:
		default:
			g.t.Fatalf("%+v", g.exit)
		}
		break
	}
	if !timer.Stop() {
		<-done
	}
	return 0
}

// executed runs bytes as code in a mode, with registers by a seed.
func executed(t testing.TB, r ring, code []byte, seed uint64) (*tiny, time.Duration) {
	t.Helper()
	g := newTiny(t, r, "")
	g.apic = newAPIC(g.CPU, 0)
	defer g.apic.stop()
	g.units()
	g.cpuid = features()
	g.surviving(r)
	copy(g.ram[tinyCode:tinyData], code)
	g.random(rand.New(rand.NewPCG(seed, 0)))
	return g, g.kickedWithin(time.Millisecond)
}

// FuzzCode: no bytes as code end the process, or keep a Kick from ending Run.
func FuzzCode(f *testing.F) {
	for i := range raising {
		b, err := hex.DecodeString(strings.ReplaceAll(raising[i].code, " ", ""))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint8(raising[i].ring), uint64(i))
	}
	f.Fuzz(func(t *testing.T, code []byte, r uint8, seed uint64) {
		if _, took := executed(t, ring(r)%(real16+1), code, seed); took > 5*time.Second {
			t.Errorf("Kick took %v", took)
		}
	})
}

// Random bytes, and instructions of system software among them, in every mode.
func TestRandomCode(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	r := rand.New(rand.NewPCG(*seed, 2))
	var longest time.Duration
	modes := map[decode.Mode]int{}
	for round := range rounds {
		for mode := range real16 + 1 {
			code := make([]byte, 4096)
			for i := range code {
				code[i] = byte(r.Uint32())
			}
			for range 200 {
				known, _ := hex.DecodeString(strings.ReplaceAll(raising[r.IntN(len(raising))].code, " ", ""))
				copy(code[r.IntN(len(code)):], known)
			}
			g, took := executed(t, mode, code, uint64(round))
			longest = max(longest, took)
			modes[g.mode]++
		}
	}
	t.Logf("the longest Kick took %v; ended in modes %v", longest, modes)
	if longest > 2*time.Second {
		t.Errorf("a Kick took %v", longest)
	}
}

// Code at address 0 of a page with a data breakpoint: its translation is not kept.
func TestWatchedPageAtZero(t *testing.T) {
	g := newTiny(t, long0, "31 c0 ff e0")
	copy(g.ram, g.bytes("f4"))
	g.dr[0], g.dr[7] = 0x100, 1|breakWrite<<16
	g.armBreakpoints()
	if g.halts(); g.RIP != 1 {
		t.Errorf("RIP %#x", g.RIP)
	}
}
