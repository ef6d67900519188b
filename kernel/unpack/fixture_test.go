package unpack

import (
	"bytes"
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

var update = flag.Bool("update", false, "pack testdata/sample.* afresh with the tools that kernels are packed with")

// sample is what the fixtures hold: an ELF file with a PVH note, whose contents
// try the decoders: bytes that look like calls and jumps (for the x86 filter),
// noise (stored blocks), repeats near and far, long runs, and several blocks
// (lzop has 256 KiB).
func sample() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 0x1000, 1<<20)
	calls := []byte{0xe8, 0xe9, 0xe8, 0, 0xff, 0, 0xff, 0x8b, 0x48}
	for range 4000 {
		b = append(b, calls[r.IntN(len(calls))])
	}
	noise := make([]byte, 1600)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	b = append(b, noise...)
	for i := range 30 {
		b = append(b, bytes.Repeat([]byte{byte(i)}, r.IntN(3000))...)
		b = append(b, noise[r.IntN(1100):][:r.IntN(500)]...)
	}
	b = append(b, make([]byte, 500_000)...)
	b = append(b, noise...)
	for len(b) < 0x1000+600_000 {
		b = append(b, noise[r.IntN(1590):][:1+r.IntN(9)]...)
		b = append(b, make([]byte, 1400)...)
	}
	le := binary.LittleEndian
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 2)
	le.PutUint16(b[18:], 62)
	le.PutUint64(b[24:], 0x1000000)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 2)
	phdr := func(i int, typ uint32, v ...uint64) {
		le.PutUint32(b[64+56*i:], typ)
		le.PutUint32(b[68+56*i:], 5)
		for j, x := range v {
			le.PutUint64(b[72+56*i+8*j:], x)
		}
	}
	size := uint64(len(b) - 0x1000)
	phdr(0, 1, 0x1000, 0xffffffff81000000, 0x1000000, size, size, 0x1000)
	phdr(1, 4, 0x800, 0, 0, 24, 24, 4)
	copy(b[0x800:], "\x04\x00\x00\x00\x08\x00\x00\x00\x12\x00\x00\x00Xen\x00\x00\x01\x00\x01")
	return b
}

// fixtures are the sample packed by each tool, as the kernel's build calls it
// (scripts/Makefile.lib) or with other levels.
var fixtures = []struct {
	file string
	kind compression.Kind
	tool string
}{
	{"sample.gz", compression.Gzip, "gzip -n -9"},
	{"sample.bz2", compression.Bzip2, "bzip2 -9"},
	{"sample.lzma", compression.LZMA, "xz --format=lzma -9"},
	{"sample.xz", compression.XZ, "xz --check=crc32 --lzma2=dict=1MiB"},
	{"sample.x86.xz", compression.XZ, "xz --check=crc32 --x86 --lzma2=dict=128MiB"},
	{"sample.blocks.xz", compression.XZ, "xz --check=sha256 --x86 --block-size=300000 -T2 -9"},
	{"sample.crc64.xz", compression.XZ, "xz --check=crc64 -9"},
	{"sample.lzo", compression.LZO, "lzop -9"},
	{"sample.1.lzo", compression.LZO, "lzop -1"},
	{"sample.crc.lzo", compression.LZO, "lzop --crc32 -9"},
	{"sample.lz4", compression.LZ4, "lz4 -l -9"},
	{"sample.zst", compression.Zstd, "zstd -22 --ultra"},
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMakeFixtures(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range fixtures {
		words := strings.Fields(f.tool)
		cmd := exec.Command(words[0], append(words[1:], "-c")...)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(sample()), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", f.tool, err)
		}
		if err := os.WriteFile("testdata/"+f.file, out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
