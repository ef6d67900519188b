package soft

import (
	"fmt"
	"testing"
)

// What real processors have is counted by name where the guest executes it, and what none has is not.
func TestUnimplemented(t *testing.T) {
	for code, want := range map[string]string{
		"0f 01 d0": "0F 01 D0 (XGETBV)", "0f ae 23": "0F AE /4 (XSAVE)", "f3 48 0f ae c0": "F3 0F AE /0 (RDFSBASE)", "66 0f 38 82 03": "66 0F 38 82 (INVPCID)",
		"c5 f8 77": "VEX 0F 77 (AVX or BMI)", "c4 e2 78 f2 c0": "VEX 0F 38 F2 (AVX or BMI)", "62 f1 7c 48 58 c0": "EVEX 0F 58 (AVX-512)", "c7 f8 00 00 00 00": "C7 F8 (XBEGIN)",
		"0f 38 c8 c1": "0F 38 C8 (SHA1NEXTE)", "0f 01 c1": "0F 01 C1 (VMCALL)", "f3 0f c7 f8": "F3 0F C7 /7 (RDPID)", "66 0f c7 33": "66 0F C7 /6 (VMCLEAR)",
		"0f 0b": "", "0f ff c0": "", "0f b9 c0": "", "27": "", "f0 90": "", "0f 38 ff c0": "", "f0 0f 01 d0": "", "0f 01 d7": "", "0f aa": "",
	} {
		g := newTiny(t, long3, code)
		g.units()
		g.raises(vectorUD, 0, 0)
		switch got := g.Unimplemented(); {
		case want == "" && len(got) != 0, want != "" && (len(got) != 1 || got[want] != 1):
			t.Errorf("%s: %v, want %q", code, got, want)
		}
	}
	// In other modes C4 and C5 are LES and LDS where they have a memory operand.
	g := newTiny(t, flat0, "c5 c0 77")
	if g.raises(vectorUD, 0, 0); len(g.Unimplemented()) != 1 {
		t.Errorf("%v", g.Unimplemented())
	}
	// At the end of memory, and of the list.
	g = newTiny(t, flat0, "")
	copy(g.ram[len(g.ram)-2:], g.bytes("0f c7"))
	g.RIP = uint64(len(g.ram) - 2)
	g.run()
	for i := range 3 * mostMissing {
		g.missing.add(fmt.Sprint(i))
	}
	if got := g.Unimplemented(); len(got) != mostMissing+1 || got["others"] != 2*mostMissing {
		t.Errorf("%d names: %v", len(got), got)
	}
}
