package soft

import "testing"

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
