package soft

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// INVLPG of an address of a large page forgets all of it, also what was read of it elsewhere.
func TestLargePagesAreForgotten(t *testing.T) {
	for name, c := range map[string]struct{ at, entry uint64 }{
		"2 MiB": {0x20_0000, tinyPD + 8},
		"1 GiB": {0x4000_0000, tinyPDPT + 8},
	} {
		t.Run(name, func(t *testing.T) {
			g := newTiny(t, long0, "0F 01 3B F4") // invlpg [rbx]; hlt
			g.put64(int(c.entry), pagePresent|pageWrite|pageUser|pageLarge)
			for _, off := range []uint64{0, tinyData, 0x1F_F000} {
				if _, ok := g.load(c.at+off, 8); !ok || !g.store(c.at+off, 8, 1) {
					t.Fatalf("%#x: %+v", off, g.fault)
				}
			}
			g.put64(int(c.entry), 0)
			g.R[rbx] = c.at + 5*pageSize
			g.halts()
			for _, off := range []uint64{0, tinyData, 0x1F_F000} {
				if _, ok := g.load(c.at+off, 8); ok || g.store(c.at+off, 8, 2) {
					t.Errorf("%#x is kept", off)
				}
			}
			if _, ok := g.load(tinyData, 8); !ok {
				t.Error("another page is not there")
			}
		})
	}
}

// A segment's limit is checked in compatibility mode also where 64-bit code has used any address before.
func TestNoTranslationPassesALimit(t *testing.T) {
	for n := range uint64(8) {
		at := n<<40 | tinyData + 0x2000
		g := newTiny(t, compat3, "8B 83 00200000 0F 0B") // mov eax, [ebx+0x2000]; ud2
		g.put64(tinyPML4+int(at>>39)*8, tinyPDPT|7)
		mode := g.mode
		g.mode = decode.Mode64
		if _, ok := g.load(at, 4); !ok {
			t.Fatalf("%#x: %+v", at, g.fault)
		}
		g.mode = mode
		if g.loadSegment(decode.DS, selSmall) != next {
			t.Fatal(g.fault)
		}
		g.R[rbx] = 0
		g.raises(vectorGP, 0, 0)
	}
}

// readOnly is tinyRAM with a page that a device shows.
type readOnly struct{ tinyRAM }

func (r readOnly) Page(addr uint64) (*[pageSize]byte, bool) {
	p, write := r.tinyRAM.Page(addr)
	return p, write && addr != tinyPDPT
}

// Page tables in a page that a device shows leave it as it is.
func TestDevicesPagesAreNoTables(t *testing.T) {
	g := newTiny(t, long0, "")
	g.mmu.ram = readOnly{g.ram}
	g.flushTLB(true)
	before := g.get64(tinyPDPT)
	if _, ok := g.load(tinyData, 8); ok || g.get64(tinyPDPT) != before {
		t.Errorf("%v, %#x, before %#x", ok, g.get64(tinyPDPT), before)
	}
}
