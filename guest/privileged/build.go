package privileged

import (
	"bytes"
	"debug/elf"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

//go:embed harness.S
var harness string

// The harness's addresses.
const (
	// TextBase is the guest-physical address of the text.
	TextBase    = machinetest.TextBase
	syscallStub = 0x80
	stubs       = 0x100
	stubs32     = 0x1100
)

// EndPort is written when the last case has ended.
const EndPort = 0xF4

// mostEvents is how many exceptions end a case.
const mostEvents = 150

// Kinds of records in the log.
const (
	recordEvent = iota + 1
	recordMemory
	recordCase
	recordShutdown
	recordEnd
)

// Guest is a program with the cases.
type Guest struct {
	ELF []byte // of the PVH protocol
	// Text is what the ELF file loads, at TextBase, where it is entered.
	Text  []byte
	Cases []Case
	names []label
}

// label is a name for an address of the text.
type label struct {
	name string
	addr uint64
}

// ErrNoAssembler: GNU as or ld is not there.
var ErrNoAssembler = errors.New("GNU as and ld, of the package binutils, assemble the cases")

// Build assembles a guest in a folder.
func Build(dir string, cases []Case) (*Guest, error) {
	for _, tool := range []string{"as", "ld"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoAssembler, err)
		}
	}
	text, object, program := filepath.Join(dir, "guest.S"), filepath.Join(dir, "guest.o"), filepath.Join(dir, "guest")
	if err := os.WriteFile(text, []byte(source(cases)), 0o600); err != nil {
		return nil, err
	}
	for _, c := range [][]string{{"as", "-W", "--64", "-mrelax-relocations=no", "-o", object, text}, {"ld", "-N", fmt.Sprintf("-Ttext=%#x", TextBase), "-e", "start", "-o", program, object}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%.4000s", c[0], err, out)
		}
	}
	f, err := elf.Open(program)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	g := &Guest{Cases: cases}
	if g.Text, err = f.Section(".text").Data(); err != nil {
		return nil, err
	}
	g.ELF = machinetest.Kernel(g.Text)
	all, err := f.Symbols()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.Section < elf.SHN_LORESERVE && s.Name != "" {
			g.names = append(g.names, label{s.Name, s.Value})
		}
	}
	sort.Slice(g.names, func(i, j int) bool { return g.names[i].addr < g.names[j].addr })
	return g, nil
}

// Address is that of a label of the harness: enter_case, common64, resume_case and finish are where a case is entered,
// where an exception begins to be recorded, where the case goes on then, and where it has ended. Those with 32 are of
// protected mode.
func (g *Guest) Address(name string) uint64 {
	for _, l := range g.names {
		if l.name == name {
			return l.addr
		}
	}
	return 0
}

// Next is where the guest has the address of the next record.
const Next = vars + 40

// name is an address as a person finds it in the source: the last label, and the distance.
func (g *Guest) name(addr uint64) string {
	mapping := ""
	if addr >= user+TextBase && addr < user+TextBase+uint64(len(g.Text)) {
		addr, mapping = addr-user, "user "
	}
	i := sort.Search(len(g.names), func(i int) bool { return g.names[i].addr > addr }) - 1
	if i < 0 || addr < TextBase || addr >= TextBase+uint64(len(g.Text)) {
		return fmt.Sprintf("%#x", addr)
	}
	return fmt.Sprintf("%s%s+%#x", mapping, g.names[i].name, addr-g.names[i].addr)
}

// source is the guest in assembly.
func source(cases []Case) string {
	var b strings.Builder
	b.WriteString("\t.intel_syntax noprefix\n")
	set := func(name string, v uint64) { fmt.Fprintf(&b, "\t.set %s, %#x\n", name, v) }
	for name, v := range constants() {
		set(name, v)
	}
	for name, v := range selectors() {
		set(name, uint64(v))
	}
	b.WriteString(harness)
	b.WriteString("\t.p2align 12\narena:\n")
	t := tables()
	for i := 0; i < len(t); i += 64 {
		b.WriteString("\t.quad ")
		for j := range 8 {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%#x", binary.LittleEndian.Uint64(t[i+8*j:]))
		}
		b.WriteByte('\n')
	}
	b.WriteString("cases:\n")
	for i := range cases {
		c := &cases[i]
		act := "0"
		if c.Act != "" {
			act = fmt.Sprintf("act_%d", i)
		}
		cs, ss := c.segments()
		fmt.Fprintf(&b, "\t.quad case_%d + %#x, setup_%d, %s, %d, %#x, %#x, %#x, %#x\n", i, c.alias(), i, act, c.flags(), cs, ss, c.RFLAGS|2, caseStack+c.alias())
	}
	for i := range cases {
		c := &cases[i]
		fmt.Fprintf(&b, "\t.set ALIAS, %#x\n\t.p2align 4\nsetup_%d:\n%s\n\tret\n", c.alias(), i, c.Setup)
		if c.Act != "" {
			fmt.Fprintf(&b, "act_%d:\n%s\n\txor eax, eax\n\tret\n", i, c.Act)
		}
		bits := "64"
		if c.Mode != Long {
			bits = "32"
		}
		fmt.Fprintf(&b, "\t.code%s\ncase_%d: /* %s */\n%s\n\tint 0x80\n\t.code64\n", bits, i, c.Name, c.Code)
	}
	return b.String()
}

// constants are what the harness and the cases call by name.
func constants() map[string]uint64 {
	m := map[string]uint64{
		"SYSCALL_STUB": syscallStub, "STUBS": stubs, "STUBS32": stubs32, "END_PORT": EndPort, "MOST_EVENTS": mostEvents, "BOOT_STACK": bootStack, "LOG": Log, "USER": user, "APIC": apic,
		"ARENA": arena, "ARENA_SIZE": arenaEnd - arena, "ARENA_COMPARED": stacks - arena,
		"PML4": pml4, "PDPT": pdpt, "PD": pd, "PDUSER": pdUser, "TPDPT": testPDPT, "TPD": testPD, "TPT": testPT, "GDT": gdt, "LDT": ldt, "IDT": idt, "IDT32": idt32, "TSS": tss,
		"D0": data0, "D1": data1, "D2": data2, "D3": data3, "CASE_STACK": caseStack, "STACKS": stacks, "OTHERTSS": tss + otherTSS, "TSS32": tss + tss32,
		"SMALL": small, "LARGE": large + data0 - arena, "HUGE": huge + data0, "LOWSMALL": lowSmall, "LOWLARGE": lowLarge + data0 - arena,
		"GDT_SIZE": 8 * gdtSize(), "STAR_HIGH": 0x001B_0008, "CR0_BASE": 0x8001_0033, "CR4_BASE": 0x620, "EFER_BASE": 0x901,
		"V_STATE": vars, "V_FIRST": vars + 8, "V_LAST": vars + 16, "V_SKIP": vars + 24, "V_INDEX": vars + 32, "V_LOG": vars + 40, "V_ACT": vars + 48, "V_EVENTS": vars + 56, "V_SCRATCH": vars + 64,
		"CASE_ENTRY": 0, "CASE_SETUP": 8, "CASE_ACT": 16, "CASE_FLAGS": 24, "CASE_CS": 32, "CASE_SS": 40, "CASE_RFLAGS": 48, "CASE_RSP": 56, "FLAG_LEGACY": flagLegacy,
		"RECORD_EVENT": recordEvent, "RECORD_MEMORY": recordMemory, "RECORD_CASE": recordCase, "RECORD_SHUTDOWN": recordShutdown, "RECORD_END": recordEnd,
	}
	return m
}

func gdtSize() uint64 {
	n := uint64(1)
	for _, e := range gdtEntries() {
		if n++; e.wide {
			n++
		}
	}
	return n
}

// Range are the variables that have a guest run the cases from first to before last; all, or only those without Want.
func Range(first, last int, all bool) (addr uint64, b []byte) {
	skip := uint64(flagWant)
	if all {
		skip = 0
	}
	var out bytes.Buffer
	_ = binary.Write(&out, binary.LittleEndian, []uint64{0, uint64(first), uint64(last), skip})
	return vars, out.Bytes()
}
