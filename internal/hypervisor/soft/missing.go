package soft

import (
	"fmt"
	"maps"
	"sync"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// missing counts instructions that real processors have and this one does not: they are #UD, and a
// machine's statistics name them. What is undefined on all processors is not counted.
type missing struct {
	mu    sync.Mutex
	count map[string]uint64 // by encoding and name
}

// mostMissing bounds the names; further ones are counted together.
const mostMissing = 32

func (m *missing) add(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count == nil {
		m.count = map[string]uint64{}
	}
	if _, known := m.count[name]; !known && len(m.count) >= mostMissing {
		name = "others"
	}
	m.count[name]++
}

// Unimplemented implements hypervisor.Software.
func (c *CPU) Unimplemented() map[string]uint64 {
	c.missing.mu.Lock()
	defer c.missing.mu.Unlock()
	return maps.Clone(c.missing.count)
}

// noteUndefined counts the instruction at RIP, which was #UD.
func (c *CPU) noteUndefined() {
	before := c.fault
	defer func() { c.fault = before }()
	var b []byte
	for at := c.linear(); len(b) < 8; at = c.unmark(at + 1) {
		e := c.executable(at)
		if e == nil {
			break
		}
		b = append(b, e.page[at&(pageSize-1)])
	}
	if name := missingName(b, c.mode == decode.Mode64); name != "" {
		c.missing.add(name)
	}
}

// missingName is the encoding and the name of an instruction that real processors have; "": it is none.
func missingName(b []byte, long bool) string {
	var prefix byte // 66, F3 or F2; 0: none
	for len(b) > 0 {
		switch p := b[0]; {
		case p == 0xF2, p == 0xF3, p == 0x66 && prefix == 0:
			prefix = p
		case p == 0x66, p == 0x67, p == 0x26, p == 0x2E, p == 0x36, p == 0x3E, p == 0x64, p == 0x65, long && p&0xF0 == 0x40:
		case p == 0xF0: // such a LOCK is undefined anyway
			return ""
		default:
			return missingOpcode(b, prefix, long)
		}
		b = b[1:]
	}
	return ""
}

func missingOpcode(b []byte, prefix byte, long bool) string {
	b = append(b, make([]byte, 6)...)
	vex := long || b[1] >= 0xC0
	switch {
	case b[0] == 0xC5 && vex:
		return fmt.Sprintf("VEX 0F %02X (AVX or BMI)", b[2])
	case b[0] == 0xC4 && vex:
		return fmt.Sprintf("VEX %s %02X (AVX or BMI)", [4]string{"?", "0F", "0F 38", "0F 3A"}[b[1]&3], b[3])
	case b[0] == 0x62 && vex:
		return fmt.Sprintf("EVEX %s %02X (AVX-512)", [4]string{"?", "0F", "0F 38", "0F 3A"}[b[1]&3], b[4])
	case b[0] == 0xC6 && b[1] == 0xF8:
		return "C6 F8 (XABORT)"
	case b[0] == 0xC7 && b[1] == 0xF8:
		return "C7 F8 (XBEGIN)"
	case b[0] != 0x0F:
		return ""
	}
	table, opcode, modRM := uint16(0), b[1], b[2]
	if opcode == 0x38 || opcode == 0x3A {
		table, opcode, modRM = uint16(opcode)<<8, b[2], b[3]
	}
	for i := range missingInstructions {
		if m := &missingInstructions[i]; m.opcode == table|uint16(opcode) && m.prefix == prefix && m.is(modRM) {
			return fmt.Sprintf("%s (%s)", m.encoding(modRM), m.name)
		}
	}
	return ""
}

// instruction is one after 0F: its opcode, with 38 or 3A before it, its prefix, and what ModRM has.
type instruction struct {
	opcode uint16
	prefix byte
	form   form
	modRM  byte // of formExact, and the extension, in bits 3 to 5, of the other forms
	name   string
}

// form is the part of ModRM by which an instruction is identified.
type form uint8

const (
	formAny      form = iota // nothing
	formExact                // all
	formRegister             // a register operand, and the extension
	formMemory               // a memory operand, and the extension
)

func (m *instruction) is(modRM byte) bool {
	same := modRM>>3&7 == m.modRM>>3&7
	switch m.form {
	case formExact:
		return modRM == m.modRM
	case formRegister:
		return modRM >= 0xC0 && same
	case formMemory:
		return modRM < 0xC0 && same
	}
	return true
}

func (m *instruction) encoding(modRM byte) (s string) {
	if m.prefix != 0 {
		s = fmt.Sprintf("%02X ", m.prefix)
	}
	if s += "0F "; m.opcode >= 0x100 {
		s += fmt.Sprintf("%02X ", m.opcode>>8)
	}
	s += fmt.Sprintf("%02X", m.opcode&0xFF)
	switch m.form {
	case formExact:
		return s + fmt.Sprintf(" %02X", modRM)
	case formAny:
		return s
	}
	return s + fmt.Sprintf(" /%d", modRM>>3&7)
}

// missingInstructions are those of Intel SDM volume 2, but for VEX, EVEX and system management mode.
var missingInstructions = [...]instruction{
	{0x01, 0, formExact, 0xC1, "VMCALL"}, {0x01, 0, formExact, 0xC2, "VMLAUNCH"}, {0x01, 0, formExact, 0xC3, "VMRESUME"}, {0x01, 0, formExact, 0xC4, "VMXOFF"},
	{0x01, 0, formExact, 0xC8, "MONITOR"}, {0x01, 0, formExact, 0xC9, "MWAIT"}, {0x01, 0, formExact, 0xCA, "CLAC"}, {0x01, 0, formExact, 0xCB, "STAC"},
	{0x01, 0, formExact, 0xD0, "XGETBV"}, {0x01, 0, formExact, 0xD1, "XSETBV"}, {0x01, 0, formExact, 0xD4, "VMFUNC"}, {0x01, 0, formExact, 0xD5, "XEND"},
	{0x01, 0, formExact, 0xD6, "XTEST"}, {0x01, 0, formExact, 0xD9, "VMMCALL"}, {0x01, 0, formExact, 0xE8, "SERIALIZE"}, {0x01, 0, formExact, 0xEE, "RDPKRU"},
	{0x01, 0, formExact, 0xEF, "WRPKRU"}, {0x37, 0, formAny, 0, "GETSEC"}, {0x78, 0, formAny, 0, "VMREAD"}, {0x79, 0, formAny, 0, "VMWRITE"},
	{0xAE, 0, formMemory, 4 << 3, "XSAVE"}, {0xAE, 0, formMemory, 5 << 3, "XRSTOR"}, {0xAE, 0, formMemory, 6 << 3, "XSAVEOPT"},
	{0xAE, 0x66, formMemory, 6 << 3, "CLWB"}, {0xAE, 0x66, formMemory, 7 << 3, "CLFLUSHOPT"}, {0xAE, 0x66, formRegister, 6 << 3, "TPAUSE"},
	{0xAE, 0xF3, formRegister, 0 << 3, "RDFSBASE"}, {0xAE, 0xF3, formRegister, 1 << 3, "RDGSBASE"}, {0xAE, 0xF3, formRegister, 2 << 3, "WRFSBASE"},
	{0xAE, 0xF3, formRegister, 3 << 3, "WRGSBASE"}, {0xAE, 0xF3, formRegister, 5 << 3, "INCSSP"}, {0xAE, 0xF3, formRegister, 6 << 3, "UMONITOR"},
	{0xAE, 0xF2, formRegister, 6 << 3, "UMWAIT"}, {0xC7, 0, formMemory, 3 << 3, "XRSTORS"}, {0xC7, 0, formMemory, 4 << 3, "XSAVEC"}, {0xC7, 0, formMemory, 5 << 3, "XSAVES"},
	{0xC7, 0, formMemory, 6 << 3, "VMPTRLD"}, {0xC7, 0, formMemory, 7 << 3, "VMPTRST"}, {0xC7, 0x66, formMemory, 6 << 3, "VMCLEAR"}, {0xC7, 0xF3, formMemory, 6 << 3, "VMXON"},
	{0xC7, 0xF3, formRegister, 7 << 3, "RDPID"}, {0x3880, 0x66, formAny, 0, "INVEPT"}, {0x3881, 0x66, formAny, 0, "INVVPID"}, {0x3882, 0x66, formAny, 0, "INVPCID"},
	{0x38C8, 0, formAny, 0, "SHA1NEXTE"}, {0x38C9, 0, formAny, 0, "SHA1MSG1"}, {0x38CA, 0, formAny, 0, "SHA1MSG2"}, {0x38CB, 0, formAny, 0, "SHA256RNDS2"},
	{0x38CC, 0, formAny, 0, "SHA256MSG1"}, {0x38CD, 0, formAny, 0, "SHA256MSG2"}, {0x38CF, 0x66, formAny, 0, "GF2P8MULB"},
	{0x38DB, 0x66, formAny, 0, "AESIMC"}, {0x38DC, 0x66, formAny, 0, "AESENC"}, {0x38DD, 0x66, formAny, 0, "AESENCLAST"}, {0x38DE, 0x66, formAny, 0, "AESDEC"},
	{0x38DF, 0x66, formAny, 0, "AESDECLAST"}, {0x38F6, 0x66, formAny, 0, "ADCX"}, {0x38F6, 0xF3, formAny, 0, "ADOX"}, {0x38F8, 0x66, formAny, 0, "MOVDIR64B"},
	{0x38F9, 0, formAny, 0, "MOVDIRI"}, {0x3A44, 0x66, formAny, 0, "PCLMULQDQ"}, {0x3ACC, 0, formAny, 0, "SHA1RNDS4"}, {0x3ACE, 0x66, formAny, 0, "GF2P8AFFINEQB"},
	{0x3ACF, 0x66, formAny, 0, "GF2P8AFFINEINVQB"}, {0x3ADF, 0x66, formAny, 0, "AESKEYGENASSIST"},
}
