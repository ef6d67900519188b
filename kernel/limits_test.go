package kernel

import "testing"

// What a bzImage's setup header says that its kernel takes.
func TestLimitsOfSetupHeader(t *testing.T) {
	for _, c := range []struct {
		name               string
		protocol           uint16
		cmdline, initrdMax uint32
		xlf                uint16
		length             int // of the header
		wantCmdline        uint32
		wantInitrd         uint64
	}{
		{"of today", 0x20f, 2047, 0x7fffffff, 3, 0x7b, 2047, 0},
		{"of 2012", 0x20a, 2047, 0x7fffffff, 0, 0x7b, 2047, 0x80000000},
		{"4 GiB", 0x20f, 255, 0xffffffff, 1, 0x7b, 255, 1 << 32},
		{"before 2.06", 0x205, 2047, 0x37ffffff, 0, 0x7b, 0, 0x38000000},
		{"short", 0x20f, 2047, 0x7fffffff, 0, 0x20, 0, 0},
	} {
		h := make([]byte, 0x100)
		le.PutUint16(h[setupVersion-setupSectors:], c.protocol)
		le.PutUint32(h[setupCmdlineSize-setupSectors:], c.cmdline)
		le.PutUint32(h[setupInitrdMax-setupSectors:], c.initrdMax)
		le.PutUint16(h[setupXLF-setupSectors:], c.xlf)
		im := &Image{SetupHeader: h[:c.length]}
		if n, limit := im.CmdlineSize(), im.InitrdLimit(); n != c.wantCmdline || limit != c.wantInitrd {
			t.Errorf("%s: %d and %#x, want %d and %#x", c.name, n, limit, c.wantCmdline, c.wantInitrd)
		}
	}
	if im := (&Image{}); im.CmdlineSize() != 0 || im.InitrdLimit() != 0 {
		t.Error("an ELF file has limits")
	}
}
