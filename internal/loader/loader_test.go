package loader

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/memory"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// contents is n bytes of noise in a file; every fourth page is zero.
func contents(t *testing.T, n uint64) (*os.File, []byte) {
	t.Helper()
	data := make([]byte, n)
	r := rand.New(rand.NewPCG(n, 1))
	for i := range data {
		if i/memory.PageSize%4 != 0 {
			data[i] = byte(r.Uint32())
		}
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, data
}

func ram(t *testing.T, size uint64) *memory.Map {
	t.Helper()
	m, err := memory.New([]memory.Range{{Addr: 0, Size: size}}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// describe writes a layout's pieces as "way addr off+n".
func describe(l *Layout) string {
	var list []string
	for _, p := range l.pieces {
		list = append(list, fmt.Sprintf("%s %#x %#x+%#x", [...]string{"mapped", "late", "copied", "sifted"}[p.way], uint64(p.addr), p.off, p.n))
	}
	return strings.Join(list, ", ")
}

func TestSegmentsAreCut(t *testing.T) {
	const rx, rw, ro = kernel.Read | kernel.Exec, kernel.Read | kernel.Write, kernel.Read
	for _, c := range []struct {
		name  string
		mode  Mode
		seg   kernel.Segment
		text  []kernel.FileRange
		delta int64
		want  string
	}{
		{"copy", Copy, kernel.Segment{Offset: 0x1000, Paddr: 0x100000, Filesz: 4 * mib, Flags: ro}, nil, 0,
			"copied 0x100000 0x1000+0x400000"},
		{"map, whole pages", Map, kernel.Segment{Offset: 0x1000, Paddr: 0x100000, Filesz: 0x3000, Flags: rx}, nil, 0,
			"mapped 0x100000 0x1000+0x3000"},
		{"map, odd end", Map, kernel.Segment{Offset: 0x1000, Paddr: 0x100000, Filesz: 0x3001, Flags: rw}, nil, 0,
			"mapped 0x100000 0x1000+0x3000, copied 0x103000 0x4000+0x1"},
		{"map, odd beginning", Map, kernel.Segment{Offset: 0x1234, Paddr: 0x100234, Filesz: 0x3000, Flags: ro}, nil, 0,
			"copied 0x100234 0x1234+0xdcc, mapped 0x101000 0x2000+0x2000, copied 0x103000 0x4000+0x234"},
		{"map, less than a page", Map, kernel.Segment{Offset: 0x1234, Paddr: 0x100234, Filesz: 0x100, Flags: ro}, nil, 0,
			"copied 0x100234 0x1234+0x100"},
		{"map, across a page's edge, none whole", Map, kernel.Segment{Offset: 0x1F00, Paddr: 0x100F00, Filesz: 0x200, Flags: ro}, nil, 0,
			"copied 0x100f00 0x1f00+0x200"},
		{"map, file and memory disagree", Map, kernel.Segment{Offset: 0x1001, Paddr: 0x100000, Filesz: 0x3000, Flags: ro}, nil, 0,
			"copied 0x100000 0x1001+0x3000"},
		{"map, moved", Map, kernel.Segment{Offset: 0x1000, Paddr: 0x100000, Filesz: 0x1000, Flags: ro}, nil, 0x200000,
			"mapped 0x300000 0x1000+0x1000"},
		{"nothing in the file", Map, kernel.Segment{Offset: 0x1000, Paddr: 0x100000, Memsz: 0x1000, Flags: rw}, nil, 0, ""},
		{"auto, code", Auto, kernel.Segment{Offset: 0, Paddr: 0x200000, Filesz: 6 * mib, Flags: rx}, nil, 0,
			"copied 0x200000 0x0+0x600000"},
		{"auto, written", Auto, kernel.Segment{Offset: 0, Paddr: 0x200000, Filesz: 6 * mib, Flags: rw}, nil, 0,
			"sifted 0x200000 0x0+0x600000"},
		{"auto, written, with zeroes", Auto, kernel.Segment{Offset: 14 * mib, Paddr: 0x200000, Filesz: 7 * mib, Flags: rw}, nil, 0,
			"sifted 0x200000 0xe00000+0x200000, sifted 0x500000 0x1100000+0x300000"},
		{"copy, with zeroes", Copy, kernel.Segment{Offset: 14 * mib, Paddr: 0x200000, Filesz: 7 * mib, Flags: rw}, nil, 0,
			"copied 0x200000 0xe00000+0x700000"},
		{"auto, read", Auto, kernel.Segment{Offset: 0, Paddr: 0x200000, Filesz: 6*mib + 5, Flags: ro}, nil, 0,
			"mapped 0x200000 0x0+0x600000, copied 0x800000 0x600000+0x5"},
		{"auto, read, but no whole frame", Auto, kernel.Segment{Offset: 0, Paddr: 0x210000, Filesz: 3 * mib, Flags: ro}, nil, 0,
			"copied 0x210000 0x0+0x300000"},
		{"auto, code with data behind it", Auto, kernel.Segment{Offset: 0x1000, Paddr: 0x200000, Filesz: 9 * mib, Flags: rx},
			[]kernel.FileRange{{Offset: 0x1000, Size: 3 * mib}, {Offset: 100 * mib, Size: 1}}, 0,
			"copied 0x200000 0x1000+0x400000, mapped 0x600000 0x401000+0x400000, copied 0xa00000 0x801000+0x100000"},
		{"auto, text that is longer than its segment", Auto, kernel.Segment{Offset: 0, Paddr: 0x200000, Filesz: 4 * mib, Flags: rx},
			[]kernel.FileRange{{Offset: 0, Size: 1 << 62}}, 0,
			"copied 0x200000 0x0+0x400000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.seg.Memsz = max(c.seg.Memsz, c.seg.Filesz)
			var l Layout
			zeroes := []kernel.FileRange{{Offset: 16 * mib, Size: mib}, {Offset: 20 * mib, Size: mib}, {Offset: 30 * mib, Size: mib}}
			l.Kernel(&kernel.Image{Segments: []kernel.Segment{c.seg}, Text: c.text, Zeroes: zeroes}, c.delta, c.mode)
			if got := describe(&l); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestCodeInWholeFramesComesLate(t *testing.T) {
	const rx, rwx = kernel.Read | kernel.Exec, kernel.Read | kernel.Write | kernel.Exec
	for _, c := range []struct {
		name string
		mode Mode
		seg  kernel.Segment
		want string
	}{
		{"code alone", Auto, kernel.Segment{Offset: 0x1000, Paddr: 0x200000, Filesz: 2*mib + 5, Flags: rx},
			"late 0x200000 0x1000+0x200000, copied 0x400000 0x201000+0x5"},
		{"data behind it", Auto, kernel.Segment{Offset: 0x1000, Paddr: 0x200000, Filesz: 9 * mib, Flags: rx},
			"late 0x200000 0x1000+0x400000, mapped 0x600000 0x401000+0x400000, copied 0xa00000 0x801000+0x100000"},
		{"begins in a frame", Auto, kernel.Segment{Offset: 0, Paddr: 0x210000, Filesz: 4 * mib, Flags: rx},
			"copied 0x210000 0x0+0x1f0000, late 0x400000 0x1f0000+0x200000, copied 0x600000 0x3f0000+0x10000"},
		{"no whole frame", Auto, kernel.Segment{Offset: 0, Paddr: 0x210000, Filesz: 3 * mib, Flags: rx},
			"copied 0x210000 0x0+0x300000"},
		{"written to", Auto, kernel.Segment{Offset: 0, Paddr: 0x200000, Filesz: 4 * mib, Flags: rwx},
			"sifted 0x200000 0x0+0x400000"},
		{"map", Map, kernel.Segment{Offset: 0, Paddr: 0x200000, Filesz: 4 * mib, Flags: rx},
			"mapped 0x200000 0x0+0x400000"},
		{"copy", Copy, kernel.Segment{Offset: 0, Paddr: 0x200000, Filesz: 4 * mib, Flags: rx},
			"copied 0x200000 0x0+0x400000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := Layout{Late: true}
			im := kernel.Image{Segments: []kernel.Segment{c.seg}, Text: []kernel.FileRange{{Offset: c.seg.Offset, Size: 3 * mib}}}
			l.Kernel(&im, 0, c.mode)
			if got := describe(&l); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
			if l.HasLate() != strings.Contains(c.want, "late") {
				t.Errorf("something comes late: %v", l.HasLate())
			}
		})
	}
}

func TestKernelIsCopiedWhereTheHostCannotPrefault(t *testing.T) {
	for _, c := range []struct {
		name string
		mode Mode
		late bool
		maps bool
		want string
	}{
		{"auto", Auto, true, true, "late 0x200000 0x1000+0x400000, late 0x600000 0x401000+0x400000, copied 0xa00000 0x801000+0x100000, mapped 0x1000000 0x0+0x200000"},
		{"the default", "", true, true, "late 0x200000 0x1000+0x400000, late 0x600000 0x401000+0x400000, copied 0xa00000 0x801000+0x100000, mapped 0x1000000 0x0+0x200000"},
		{"auto, all before the start", Auto, false, true, "copied 0x200000 0x1000+0x400000, copied 0x600000 0x401000+0x400000, copied 0xa00000 0x801000+0x100000, mapped 0x1000000 0x0+0x200000"},
		{"map", Map, true, false, "mapped 0x200000 0x1000+0x900000, mapped 0x1000000 0x0+0x200000"},
		{"copy", Copy, true, false, "copied 0x200000 0x1000+0x900000, copied 0x1000000 0x0+0x200000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := Layout{Late: c.late}
			l.Kernel(&kernel.Image{Segments: []kernel.Segment{{Offset: 0x1000, Paddr: 0x200000, Filesz: 9 * mib, Memsz: 9 * mib, Flags: kernel.Read | kernel.Exec}},
				Text: []kernel.FileRange{{Offset: 0x1000, Size: 3 * mib}}}, 0, c.mode)
			l.Initrd([]File{{Size: 2 * mib}}, 16*mib, c.mode)
			if got := l.MapsKernel(); got != c.maps {
				t.Errorf("MapsKernel: %v, want %v", got, c.maps)
			}
			l.CopyKernel()
			if got := describe(&l); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
			if l.MapsKernel() {
				t.Error("a part of the kernel is still to be mapped")
			}
		})
	}
}

// A huge page for a few kilobytes would be most of what a small machine weighs.
func TestSmallImagesAreInSmallPages(t *testing.T) {
	seg := func(paddr, memsz uint64) kernel.Segment { return kernel.Segment{Paddr: paddr, Memsz: memsz} }
	low := memory.Range{Addr: 0, Size: memory.PageSize} // boot data
	for _, c := range []struct {
		name  string
		segs  []kernel.Segment
		delta int64
		want  []memory.Range
	}{
		{"next to the boot data", []kernel.Segment{seg(mib, 221)}, 0, []memory.Range{{Addr: 0, Size: mib + 221}}},
		{"in the frame after it", []kernel.Segment{seg(3*mib, 221)}, 0, []memory.Range{{Addr: 0, Size: 3*mib + 221}}},
		{"above", []kernel.Segment{seg(16*mib, 221)}, 0, []memory.Range{low, {Addr: 16 * mib, Size: 221}}},
		{"moved", []kernel.Segment{seg(mib, 221)}, 15 * mib, []memory.Range{low, {Addr: 16 * mib, Size: 221}}},
		{"in two places", []kernel.Segment{seg(4*mib, 100), seg(6*mib, 0), seg(8*mib, 200)}, 0,
			[]memory.Range{low, {Addr: 4 * mib, Size: 100}, {Addr: 8 * mib, Size: 200}}},
		{"two segments in one frame", []kernel.Segment{seg(16*mib, 100), seg(17*mib, 200)}, 0, []memory.Range{low, {Addr: 16 * mib, Size: mib + 200}}},
		{"as large as can be", []kernel.Segment{seg(16*mib, 512*kib), seg(17*mib, 512*kib)}, 0, []memory.Range{low, {Addr: 16 * mib, Size: mib + 512*kib}}},
		{"a byte larger", []kernel.Segment{seg(16*mib, 512*kib), seg(17*mib, 512*kib+1)}, 0, nil},
		{"in too many places", []kernel.Segment{seg(4*mib, 1), seg(8*mib, 1), seg(12*mib, 1), seg(16*mib, 1)}, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l Layout
			l.Kernel(&kernel.Image{Segments: c.segs}, c.delta, Auto)
			if !slices.Equal(l.small, c.want) {
				t.Errorf("small pages in %+v, want %+v", l.small, c.want)
			}
		})
	}
	f, _ := contents(t, 4096)
	var l Layout
	l.Kernel(&kernel.Image{File: f, Segments: []kernel.Segment{{Paddr: 16 * mib, Filesz: 4096, Memsz: 4096}}}, 0, Auto)
	m := ram(t, 32*mib)
	if err := l.Lay(m); err != nil {
		t.Fatal(err)
	}
	frame, err := m.Slice(16*mib, 2*mib)
	if err != nil {
		t.Fatal(err)
	}
	if n := present(t, frame); n != 1 {
		t.Errorf("%d pages are present where the image has one", n)
	}
}

// present is how many pages of b the host has memory for.
func present(t *testing.T, b []byte) (n int) {
	t.Helper()
	pages := make([]byte, len(b)/memory.PageSize)
	if _, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&pages[0]))); e != 0 {
		t.Fatal(e)
	}
	for _, p := range pages {
		n += int(p & 1)
	}
	return n
}

// Whatever the edges and the mode, memory holds the file's bytes and zeroes
// around them.
func TestWhatIsLaidIsTheFile(t *testing.T) {
	f, data := contents(t, 12*mib+777)
	r := rand.New(rand.NewPCG(5, 6))
	for _, mode := range []Mode{Auto, Map, Copy} {
		for i := range 12 {
			m := ram(t, 32*mib)
			var im kernel.Image
			im.File = f
			at := uint64(mib)
			want := make([]byte, 32*mib)
			for range 3 {
				off := r.Uint64N(4 * mib)
				s := kernel.Segment{Offset: off, Filesz: min(r.Uint64N(5*mib), uint64(len(data))-off), Flags: kernel.Flags(r.UintN(8))}
				if at = up(at, memory.PageSize) + r.Uint64N(3)*memory.PageSize; i%3 > 0 {
					at = up(at, memory.HugePageSize)
				}
				if i%4 > 0 { // congruent, as linkers do it
					at += s.Offset % memory.PageSize
				}
				s.Paddr, s.Memsz = at, s.Filesz
				copy(want[at:], data[off:off+s.Filesz])
				at += s.Filesz
				im.Segments = append(im.Segments, s)
			}
			l := Layout{Late: i%2 > 0}
			l.Kernel(&im, 0, mode)
			got, err := m.Slice(0, 32*mib)
			if err != nil {
				t.Fatal(err)
			}
			for _, lay := range []func(*memory.Map) error{l.Lay, l.LayLate} {
				if err := lay(m); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%v: memory differs from the file: %s", mode, describe(&l))
				}
			}
			clear(got) // all of it can be written to
			for _, p := range l.Ranges() {
				if p.Addr%memory.PageSize != 0 || p.Size%memory.PageSize != 0 {
					t.Errorf("range %+v is not of whole pages", p)
				}
			}
		}
	}
}

func TestInitrdsEachBeginAtAPage(t *testing.T) {
	const at = 4 * mib
	for _, mode := range []Mode{Auto, Map, Copy} {
		m := ram(t, 16*mib)
		var files []File
		want := make([]byte, 12*mib)
		end := uint64(0)
		for _, n := range []uint64{1, 4096, 2*mib + 5, 300 * kib, 3*mib - 1} {
			f, data := contents(t, n)
			files = append(files, File{File: f, Path: "part", Size: n})
			end = up(end, memory.PageSize)
			copy(want[end:], data)
			end += n
		}
		if got := InitrdSize(files); got != end {
			t.Errorf("size %d, want %d", got, end)
		}
		var l Layout
		l.Initrd(files, at, mode)
		if err := l.Lay(m); err != nil {
			t.Fatal(err)
		}
		got, _ := m.Slice(at, 12*mib)
		if !bytes.Equal(got, want) {
			t.Errorf("%v: memory differs from the files: %s", mode, describe(&l))
		}
		for _, p := range l.pieces {
			if big := p.n >= memory.HugePageSize; (p.way == mapped) != (mode == Map || mode == Auto && big) {
				t.Errorf("%v: %d bytes are %v", mode, p.n, p.way)
			}
		}
	}
	if InitrdSize(nil) != 0 {
		t.Error("no initrds take memory")
	}
}

// What is sifted costs no memory where the file has zeroes.
func TestSiftLeavesZeroPagesUntouched(t *testing.T) {
	f, data := contents(t, 300*kib+123)
	dst := bytes.Repeat([]byte{0xEE}, len(data))
	if err := sift(dst, f, "file", 0); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(data); i += memory.PageSize {
		end := min(i+memory.PageSize, len(data))
		zero := bytes.Count(data[i:end], []byte{0}) == end-i
		if touched := dst[i] != 0xEE || dst[end-1] != 0xEE; zero == touched {
			t.Errorf("page at %#x: zero %v, written %v", i, zero, touched)
		}
		if !zero && !bytes.Equal(dst[i:end], data[i:end]) {
			t.Errorf("page at %#x differs", i)
		}
	}
}

func TestAFileCutShortIsAnError(t *testing.T) {
	for _, way := range []way{copied, sifted, late} {
		for _, n := range []uint64{2 * mib, 16 * mib} { // one copier, two
			f, _ := contents(t, n)
			if err := os.Truncate(f.Name(), int64(n)-1); err != nil {
				t.Fatal(err)
			}
			l := Layout{pieces: []piece{{f, "vmlinux", 2 * mib, 0, n, way}}}
			m := ram(t, 32*mib)
			err := errors.Join(l.Lay(m), l.LayLate(m))
			if err == nil || !strings.Contains(err.Error(), "vmlinux") || !strings.Contains(err.Error(), "truncated") {
				t.Errorf("Lay: %v", err)
			}
		}
	}
}

func TestPiecesOutsideRAMAreAnError(t *testing.T) {
	f, _ := contents(t, 64*kib)
	for _, way := range []way{mapped, late, copied, sifted} {
		l := Layout{pieces: []piece{{f, "vmlinux", 2*mib - 4096, 0, 64 * kib, way}}}
		if err := l.Lay(ram(t, 2*mib)); err == nil || !strings.Contains(err.Error(), "outside guest memory") {
			t.Errorf("Lay: %v", err)
		}
	}
}

func TestModeCheck(t *testing.T) {
	for _, m := range append(Modes, "") {
		if err := m.Check(); err != nil {
			t.Errorf("%q: %v", m, err)
		}
	}
	if err := Mode("mmap").Check(); err == nil || !strings.Contains(err.Error(), `"auto", "map" and "copy"`) {
		t.Errorf("mmap: %v", err)
	}
}
