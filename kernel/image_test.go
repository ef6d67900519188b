package kernel

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/memory"
)

func mkfifo(path string) error { return unix.Mkfifo(path, 0o600) }

func mustOpen(t testing.TB, data []byte) *Image {
	t.Helper()
	im, err := Open(write(t, data), Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return im
}

func TestELF(t *testing.T) {
	for _, class := range []int{32, 64} {
		for _, as := range []string{"PT_NOTE", "SHT_NOTE"} {
			for _, size := range []int{4, 8} {
				c := newCraft()
				c.class, c.noteAs, c.notes = class, as, append(entryNote("Xen\x00", size, 0x1000100), relocNote(0x200000, 0x1000000, 0x1fffffff)...)
				if class == 32 {
					c.machine, c.phdrs[0].vaddr = 3, 0xc1000000
				}
				c.shdrs = []section{
					{typ: 1, flags: 6, offset: 0x1800, size: 0x100},
					{typ: 1, flags: 6, offset: 0x1000, size: 0x800},
					{typ: 1, flags: 2, offset: 0x1900, size: 0x100},
					{typ: 1, flags: 6, offset: 0x2000, size: 0x10},
				}
				im := mustOpen(t, c.elf())
				if im.PVH == nil || *im.PVH != 0x1000100 || im.Reloc == nil || im.Class != class || im.Entry != 0x1000000 {
					t.Errorf("class %d, %s, %d bytes: %+v", class, as, size, im)
				}
				want := []Segment{{0x1000, 0x2000, 0x1000000, 0x4000, c.phdrs[0].vaddr, 0x200000, Read | Exec}}
				if d := cmp.Diff(want, im.Segments); d != "" {
					t.Errorf("segments (-want +got):\n%s", d)
				}
				if d := cmp.Diff([]FileRange{{0x1000, 0x900}, {0x2000, 0x10}}, im.Text); d != "" {
					t.Errorf("text (-want +got):\n%s", d)
				}
				if im.Linux != (class == 64) {
					t.Errorf("class %d: Linux is %v", class, im.Linux)
				}
			}
		}
	}
}

// The reads at a start must not grow with the file.
func TestOpenReadsLittle(t *testing.T) {
	path := write(t, newCraft().elf())
	if err := os.Truncate(path, 1<<32); err != nil {
		t.Fatal(err)
	}
	before := readBytes(t)
	im, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	im.Close()
	if n := readBytes(t) - before; n > 16<<10 {
		t.Errorf("read %d bytes", n)
	}
	allocs := testing.AllocsPerRun(20, func() {
		im, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		im.Close()
	})
	if allocs > 40 {
		t.Errorf("%v allocations", allocs)
	}
}

func readBytes(t *testing.T) int {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(b), "rchar: ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// xenNotes are those of a kernel with CONFIG_XEN.
func xenNotes(c *craft) {
	guest := []byte{4, 0, 0, 0, 6, 0, 0, 0, 6, 0, 0, 0, 'X', 'e', 'n', 0, 'l', 'i', 'n', 'u', 'x', 0, 0, 0}
	c.notes = append(guest, c.notes...)
}

func TestChoose(t *testing.T) {
	version := func(v string) func(*craft) {
		return func(c *craft) { xenNotes(c); copy(c.body[0x1000:], "Linux version "+v+" (a@b) #1 SMP\n\x00") }
	}
	none := func(c *craft) { c.noteAs = "" }
	for _, tt := range []struct {
		name   string
		change func(*craft)
		want   Boot
		p      Protocol
		says   string // in the reason or the error
		fails  bool
	}{
		{"note", func(*craft) {}, BootAuto, PVH, "note 18", false},
		{"by default", func(*craft) {}, "", PVH, "note 18", false},
		{"asked for pvh", func(*craft) {}, BootPVH, PVH, "asked for", false},
		{"asked for linux", func(*craft) {}, BootLinux, Linux64, "asked for", false},
		{"no note", none, BootAuto, Linux64, "CONFIG_PVH", false},
		{"no note, pvh", none, BootPVH, "", "CONFIG_PVH=y", true},
		{"4.10", version("4.10.0"), BootAuto, PVH, "", false},
		{"4.11", version("4.11.0"), BootAuto, Linux64, "4.11.0", false},
		{"4.20", version("4.20.17"), BootAuto, Linux64, "Xen only", false},
		{"4.19, but pvh", version("4.19.0"), BootPVH, PVH, "asked for", false},
		{"5.0", version("5.0.0"), BootAuto, PVH, "", false},
		{"32-bit without note", func(c *craft) { c.class, c.machine, c.noteAs = 32, 3, "" }, BootAuto, "", "32-bit i386 ELF file with its entry at 0x1000000, without a PVH entry (CONFIG_PVH)", true},
		{"32-bit, linux", func(c *craft) { c.class, c.machine = 32, 3 }, BootLinux, "", "PVH entry at 0x1000100", true},
		{"foreign owner", func(c *craft) { c.notes = entryNote("Atmosphere!\x00", 8, 0x1000100); c.entry = 1 }, BootAuto, "", `its note 18 is of owner "Atmosphere!"`, true},
		{"asked for linux, which it isn't", func(c *craft) { c.noteAs = ""; c.phdrs[0].vaddr = c.phdrs[0].paddr }, BootLinux, Linux64, "asked for; it isn't recognised as Linux", false},
		{"asked for linux, 64-bit code for another processor", func(c *craft) { c.machine = 3 }, BootLinux, "", "i386", true},
		{"asked for linux, virtual entry", func(c *craft) { c.noteAs = ""; c.entry = 0xffffffff81000000 }, BootLinux, "", "no segment has bytes of the file at its entry", true},
		{"virtual entry", func(c *craft) { c.noteAs = ""; c.entry = 0xffffffff81000000 }, BootAuto, "", "not an x86-64 Linux", true},
		{"identity mapped", func(c *craft) { c.noteAs = ""; c.phdrs[0].vaddr = c.phdrs[0].paddr }, BootAuto, "", "not an x86-64 Linux", true},
	} {
		c := newCraft()
		tt.change(c)
		im := mustOpen(t, c.elf())
		p, reason, err := im.Choose(tt.want)
		if tt.fails {
			if !errors.Is(err, ErrNoProtocol) || !strings.Contains(err.Error(), tt.says) || !strings.HasPrefix(err.Error(), im.Path) {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.says)
			}
		} else if err != nil || p != tt.p || !strings.Contains(reason, tt.says) {
			t.Errorf("%s: %v, %q, %v; want %v, %q", tt.name, p, reason, err, tt.p, tt.says)
		}
	}
	if _, _, err := (&Image{}).Choose("bios"); err == nil || err.Error() != `boot: "bios" is unknown; there are "auto", "pvh" and "linux"` {
		t.Errorf("an unknown way: %v", err)
	}
}

func TestPlace(t *testing.T) {
	const mib = 1 << 20
	ram := func(v ...uint64) (r []memory.Range) {
		for i := 0; i < len(v); i += 2 {
			r = append(r, memory.Range{Addr: memory.Addr(v[i]), Size: v[i+1]})
		}
		return r
	}
	reloc := relocNote(2*mib, 16*mib, 512*mib-1)
	for _, tt := range []struct {
		name  string
		notes []byte
		ram   []memory.Range
		delta int64
		says  string
	}{
		{"where it wants", reloc, ram(mib, 63*mib), 0, ""},
		{"in touching ranges, unsorted", nil, ram(16*mib+0x1000, mib, mib, 15*mib+0x1000), 0, ""},
		{"no RAM, no note", nil, ram(mib, 15*mib), 0, "no note 19"},
		{"one byte short, no note", nil, ram(mib, 15*mib+0x3fff), 0, "no note 19"},
		{"from the top down", reloc, ram(0, 16*mib, 32*mib, 32*mib), (62 - 16) * mib, ""},
		{"under the highest byte", reloc, ram(0, 16*mib, 32*mib, 1024*mib), (510 - 16) * mib, ""},
		{"not under the lowest", reloc, ram(0, 16*mib), 0, "from 0x1000000 to 0x1fffffff"},
		{"range smaller than the alignment", reloc, ram(33*mib, mib), 0, "no such RAM"},
		{"low, by defaults", relocNote(), ram(0, 8*mib), (6 - 16) * mib, ""},
		{"above 4 GiB never", relocNote(), ram(1<<32, 1<<32), 0, "no such RAM"},
		{"wrapping range", reloc, ram(1<<63, 1<<63, 0, mib), 0, "no such RAM"},
		{"nothing", reloc, nil, 0, "no such RAM"},
	} {
		c := newCraft()
		c.notes = append(c.notes, tt.notes...)
		im := mustOpen(t, c.elf())
		delta, err := im.Place(tt.ram, nil)
		if tt.says == "" && (err != nil || delta != tt.delta) {
			t.Errorf("%s: delta %#x, %v; want %#x", tt.name, delta, err, tt.delta)
		}
		if tt.says != "" && (!errors.Is(err, ErrNoPlace) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}

// More memory is advised where it helps, and as much as is needed.
func TestPlaceAdvice(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	most := []memory.Range{{Addr: mib, Size: 3*gib - mib}, {Addr: 4 * gib, Size: 1 << 44}}
	no := "more memory does not help: even the largest machine has RAM for a kernel at 0x100000-0xbfffffff and 0x100000000-"
	for _, tt := range []struct {
		name  string
		notes []byte
		addr  uint64 // of a second segment, 4 KiB; 0: none
		says  string
	}{
		{"too little", nil, 0, "at least 17 MiB"},
		{"too little for a high one", nil, 2*gib - 4096, "at least 2048 MiB"},
		{"above the hole", nil, 5 * gib, "at least 4097 MiB"},
		{"too little to move", relocNote(16*mib, 32*mib, gib-1), 0x9000, "at least 48 MiB"}, // a little less than 16 MiB, at 32
		{"below the first MiB", nil, 0x9000, no},
		{"in the hole", nil, 0xC0000000, no},
		{"limits below the first MiB", relocNote(4096, 0, mib-1), 0x9000, no},
	} {
		c := newCraft()
		c.notes = append(c.notes, tt.notes...)
		if tt.addr != 0 {
			c.phdrs = append(c.phdrs, phdr{typ: ptLoad, flags: 6, paddr: tt.addr, memsz: 4096})
		}
		_, err := mustOpen(t, c.elf()).Place([]memory.Range{{Addr: mib, Size: 15 * mib}}, most)
		if !errors.Is(err, ErrNoPlace) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}

func TestPlaceKeepsSegmentsApart(t *testing.T) {
	// A gap between segments need not be RAM where the image isn't moved.
	c := newCraft()
	c.phdrs = append(c.phdrs, phdr{typ: ptLoad, flags: 6, paddr: 0x9000, memsz: 0x1000})
	im := mustOpen(t, c.elf())
	if d, err := im.Place([]memory.Range{{Addr: 0x9000, Size: 0x1000}, {Addr: 0x1000000, Size: 0x4000}}, nil); d != 0 || err != nil {
		t.Errorf("Place = %#x, %v", d, err)
	}
	if lo, hi := im.Span(); lo != 0x9000 || hi != 0x1004000 {
		t.Errorf("Span = %#x, %#x", lo, hi)
	}
}

func TestVersion(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"none", "", ""},
		{"format string first", "Linux version %s\x00Linux version 6.1.2-x (a@b) #3 SMP\n", "6.1.2-x (a@b) #3 SMP"},
		{"banner without build number first", "Linux version 6.12.1 (a@b) # SMP\n\x00Linux version 6.12.1 (a@b) #7 SMP\n", "6.12.1 (a@b) #7 SMP"},
		{"only that", "Linux version 6.12.1 (a@b) # SMP\n", "6.12.1 (a@b) # SMP"},
		{"terminal control", "Linux version 6.12.1\x1b[2J #1\n", "6.12.1[2J #1"},
		{"no end", "Linux version 6.12.1" + strings.Repeat("x", 600), ""},
	} {
		c := newCraft()
		copy(c.body[0x800:], tt.body)
		im := mustOpen(t, c.elf())
		if got := im.Version(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	c := newCraft() // cut by the pieces in which the file is read
	c.body = make([]byte, 3<<20)
	c.phdrs[0].filesz, c.phdrs[0].memsz = 3<<20, 3<<20
	copy(c.body[1<<20-7:], "Linux version 6.9 #1\n")
	if got := mustOpen(t, c.elf()).Version(); got != "6.9 #1" {
		t.Errorf("over a cut: %q", got)
	}
}

func TestInspect(t *testing.T) {
	c := newCraft()
	c.notes = append(c.notes, relocNote()...)
	b, err := json.Marshal(mustOpen(t, c.elf()).Inspect())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"format":"ELF"`, `"pvhEntry":"0x1000100"`, `"relocation":{"align":"0x200000","lowest":"0x0","highest":"0xffffffff"}`, `"flags":"R-X"`, `"mappable":true`, `"protocol":"PVH"`, `"name":"PHYS32_RELOC"`, `"highest":"0x1003fff"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
}
