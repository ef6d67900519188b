package kernel

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/memory"
)

// fuzzOpen opens data as a file and asks everything of the image; nothing may
// panic, and what is promised must hold.
func fuzzOpen(t *testing.T, data []byte) {
	fd, err := unix.MemfdCreate("fuzz", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "/proc/self/fd")
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	path := "/proc/self/fd/" + itoa(fd)
	im, err := Open(path, Options{CacheDir: "/proc/none"})
	if err != nil {
		if s := err.Error(); !strings.HasPrefix(s, path+": ") || strings.ContainsAny(s, "\n\x1b\x00") {
			t.Fatalf("error is no clean line with the path: %q", s)
		}
		return
	}
	defer im.Close()
	lo, hi := im.Span()
	if lo >= hi {
		t.Fatalf("span %#x-%#x", lo, hi)
	}
	for i := range im.Segments {
		s := &im.Segments[i]
		if s.Filesz > s.Memsz || s.Filesz > 0 && (s.Offset > im.Size || s.Filesz > im.Size-s.Offset) || s.Paddr < lo || s.Paddr+s.Memsz > hi {
			t.Fatalf("segment %+v of a file of %d bytes", s, im.Size)
		}
		if i > 0 && im.Segments[i-1].Paddr+im.Segments[i-1].Memsz > s.Paddr {
			t.Fatal("segments overlap")
		}
	}
	if im.PVH != nil && !im.inFile(*im.PVH) {
		t.Fatal("entry outside")
	}
	im.Inspect()
	for _, b := range []Boot{BootAuto, BootPVH, BootLinux} {
		im.Choose(b)
	}
	ram := []memory.Range{{Addr: 0x100000, Size: 0x3f00000}, {Addr: 0x8000000, Size: 0x40000000}}
	if delta, err := im.Place(ram, []memory.Range{{Addr: 0x100000, Size: 0xbff00000}, {Addr: 1 << 32, Size: 1 << 44}}); err == nil && delta != 0 {
		if at := lo + uint64(delta); !within(ram, at, hi-lo) {
			t.Fatalf("placed at %#x with %#x bytes", at, hi-lo)
		}
	}
}

func within(ram []memory.Range, at, size uint64) bool {
	for _, r := range ram {
		if r.Contains(memory.Addr(at), size) {
			return true
		}
	}
	return false
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func seeds(f *testing.F, bzImages bool) {
	for _, b := range badFiles {
		if strings.HasPrefix(b.name, "bzimage") == bzImages {
			if data := fixture(f, b.name); len(data) < 1<<16 {
				f.Add(data)
			}
		}
	}
}

func FuzzELF(f *testing.F) {
	seeds(f, false)
	f.Add(newCraft().elf())
	c := newCraft()
	c.class, c.machine, c.noteAs = 32, 3, "SHT_NOTE"
	c.notes = append(c.notes, relocNote(1, 2, 3)...)
	f.Add(c.elf())
	f.Fuzz(fuzzOpen)
}

func FuzzBzImage(f *testing.F) {
	seeds(f, true)
	f.Add(goodBzImage())
	for name, packed := range packedSamples(f) {
		f.Add(bzImageOf(packed, uint32(len(plain(f))), strings.HasSuffix(name, ".gz")))
	}
	f.Fuzz(fuzzOpen)
}
