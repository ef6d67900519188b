package kernel

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/bad afresh from the table in this file")

// badFiles are crafted files that must be refused. `go test ./kernel -run
// TestBadFiles -update` writes them to testdata/bad, gzipped since they are
// mostly zeroes; the fuzz targets start from them too.
var badFiles = []struct {
	name string
	make func() []byte
	is   error
	says string
}{
	{"filesz-above-memsz", elfWith(func(c *craft) { c.phdrs[0].memsz = 0x1000 }), ErrBadELF, "p_filesz 0x2000 above p_memsz 0x1000"},
	{"paddr-wraps", elfWith(func(c *craft) { c.phdrs[0].paddr = ^uint64(0) - 0xfff }), ErrBadELF, "wraps around"},
	{"offset-wraps", elfWith(func(c *craft) { c.phdrs[0].offset = ^uint64(0) - 0xfff }), ErrBadELF, "wraps around"},
	{"offset-after-end", elfWith(func(c *craft) { c.phdrs[0].offset = 0x10000 }), ErrTruncated, "needs the file's bytes up to 73728, it has 12288"},
	{"truncated-segment", func() []byte { return newCraft().elf()[:0x1800] }, ErrTruncated, "it has 6144"},
	{"truncated-header", func() []byte { return newCraft().elf()[:60] }, ErrTruncated, "cut off in its header"},
	{"truncated-phdrs", func() []byte { return newCraft().elf()[:100] }, ErrTruncated, "program headers"},
	{"truncated-notes", elfWith(func(c *craft) {
		c.noteAs = ""
		c.phdrs = append(c.phdrs, phdr{typ: ptNote, offset: 0x2ff0, filesz: 0x40, align: 4})
	}), ErrTruncated, "notes of segment 1"},
	{"overlap", elfWith(func(c *craft) {
		c.phdrs = append(c.phdrs, c.phdrs[0])
		c.phdrs[1].paddr += 0x3fff
	}), ErrBadELF, "0x1000000-0x1003fff and 0x1003fff-0x1007ffe overlap"},
	{"no-segment", elfWith(func(c *craft) { c.phdrs = nil }), ErrBadELF, "without a segment to load"},
	{"no-phdrs", elfWith(func(c *craft) { c.phdrs, c.noteAs = nil, "" }), ErrBadELF, "without program headers"},
	{"pvh-entry-outside", elfWith(func(c *craft) { c.notes = entryNote("Xen\x00", 8, 0x5000000) }), ErrBadNote, "PVH entry at 0x5000000"},
	{"pvh-entry-in-bss", elfWith(func(c *craft) { c.notes = entryNote("Xen\x00", 8, 0x1002000) }), ErrBadNote, "PVH entry at 0x1002000"},
	{"pvh-note-of-3-bytes", elfWith(func(c *craft) { c.notes = entryNote("Xen\x00", 3, 0x1000100) }), ErrBadNote, "3 bytes"},
	{"pvh-note-cut", elfWith(func(c *craft) { c.notes = c.notes[:20] }), ErrBadNote, "cannot be read"},
	{"pvh-entry-above-4g", elfWith(func(c *craft) { c.notes = entryNote("Xen\x00", 8, 1<<32) }), ErrBadNote, "below 4 GiB"},
	{"pvh-two-notes", elfWith(func(c *craft) {
		c.notes = append(entryNote("Xen\x00", 8, 0x1000100), entryNote("Xen\x00", 8, 0x1000200)...)
	}), ErrBadNote, "0x1000200"},
	{"notes-too-long", elfWith(func(c *craft) {
		c.noteAs = ""
		c.body = make([]byte, 2<<20)
		c.phdrs = append(c.phdrs, phdr{typ: ptNote, offset: 0x1000, filesz: 2 << 20, align: 4})
	}), ErrBadNote, "2097152 bytes of notes"},
	{"arm64", elfWith(func(c *craft) { c.machine = 183 }), ErrNotKernel, "for arm64"},
	{"module", elfWith(func(c *craft) { c.typ = 1 }), ErrNotKernel, "kernel module"},
	{"core", elfWith(func(c *craft) { c.typ = 4 }), ErrNotKernel, "core dump"},
	{"big-endian", func() []byte { b := newCraft().elf(); b[5] = 2; return b }, ErrBadELF, "big-endian"},
	{"class-3", func() []byte { b := newCraft().elf(); b[4] = 3; return b }, ErrBadELF, "class 3"},
	{"phentsize", func() []byte { b := newCraft().elf(); b[54] = 32; return b }, ErrBadELF, "program headers of 32 bytes"},
	{"phnum", func() []byte { b := newCraft().elf(); b[57] = 0xff; return b }, ErrBadELF, "program headers, expected at most 512"},

	{"text", text("hello, world: a letter of more than sixty-four bytes, which is no kernel at all\n"), ErrNotKernel, "is a text file"},
	{"short", text("hello"), ErrNotKernel, "it has 5 bytes"},
	{"script", text("#!/bin/sh\necho\n"), ErrNotKernel, "is a script"},
	{"cpio", text("070701" + strings.Repeat("0", 200)), ErrNotKernel, "as the initrd"},
	{"zeroes", func() []byte { return make([]byte, 5000) }, ErrNotKernel, "zeroes"},
	{"efi", func() []byte { return append([]byte("MZ"), make([]byte, 5000)...) }, ErrNotKernel, "unified kernel image"},
	{"arm64-image", func() []byte { b := make([]byte, 5000); b[0] = 9; copy(b[0x38:], "ARMd"); return b }, ErrNotKernel, "arm64"},
	{"riscv-image", func() []byte { b := make([]byte, 5000); b[0] = 9; copy(b[0x38:], "RSC\x05"); return b }, ErrNotKernel, "RISC-V"},
	{"gzip-of-text", gz(text("not a kernel, but a text of a certain length that was packed with gzip")), ErrNotKernel, "is compressed, and what it holds is a text file"},
	{"gzip-of-nothing", gz(text("")), ErrNotKernel, "holds nothing"},
	{"gzip-of-bzimage", gz(goodBzImage), ErrNotKernel, "is a compressed bzImage"},
	{"gzip-cut", func() []byte { b := gz(newCraft().elf)(); return b[:len(b)/2] }, ErrPayload, "unexpected EOF"},
	{"gzip-checksum", func() []byte { b := gz(newCraft().elf)(); b[len(b)-8] ^= 1; return b }, ErrPayload, "checksum"},

	{"bzimage-cut-header", func() []byte { return goodBzImage()[:0x240] }, ErrTruncated, "setup header"},
	{"bzimage-cut", func() []byte { b := goodBzImage(); return b[:len(b)-40] }, ErrTruncated, "payload ends at"},
	{"bzimage-old", bz(func(b []byte) { le.PutUint16(b[setupVersion:], 0x207) }), ErrUnsupported, "boot protocol 2.07"},
	{"bzimage-no-payload", bz(func(b []byte) { le.PutUint32(b[setupLength:], 0) }), ErrBadBzImage, "payload of 0 bytes"},
	{"bzimage-offset", bz(func(b []byte) { le.PutUint32(b[setupPayload:], 0xfffffff0) }), ErrTruncated, "payload ends at"},
	{"bzimage-unknown", bz(func(b []byte) { copy(b[3*512+0x40:], "????") }), ErrBadBzImage, "no known compression"},
	{"bzimage-init-size", bz(func(b []byte) { le.PutUint32(b[setupInitSize:], 0x1000) }), ErrTooLarge, "claims to unpack to 12288 bytes, expected 1 to 4096"},
	{"bzimage-bomb", func() []byte {
		c := newCraft()
		c.body = make([]byte, 2<<20)
		b := gz(c.elf)()
		le.PutUint32(b[len(b)-4:], 0x3000)
		return bzImageOf(b, 0, true)
	}, ErrTooLarge, "more than the 12288 bytes allowed"},
	{"bzimage-size-too-large", func() []byte {
		b := gz(newCraft().elf)()
		le.PutUint32(b[len(b)-4:], 0x3001)
		return bzImageOf(b, 0, true)
	}, ErrPayload, "gzip"},
	{"bzimage-of-32-bit-junk", func() []byte { return bzImageOf(gz(text("junk"))(), 0, true) }, ErrNotKernel, "what it holds"},
}

func elfWith(change func(*craft)) func() []byte {
	return func() []byte { c := newCraft(); change(c); return c.elf() }
}

func text(s string) func() []byte { return func() []byte { return []byte(s) } }

func gz(of func() []byte) func() []byte {
	return func() []byte {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		z.Write(of())
		z.Close()
		return b.Bytes()
	}
}

func goodBzImage() []byte { return bzImageOf(gz(newCraft().elf)(), 0, true) }

func bz(change func([]byte)) func() []byte {
	return func() []byte { b := goodBzImage(); change(b); return b }
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata/bad", name+".gz"))
	if err != nil {
		t.Fatalf("%v: run go test ./kernel -run TestBadFiles -update", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBadFiles(t *testing.T) {
	for _, bad := range badFiles {
		t.Run(bad.name, func(t *testing.T) {
			if *update {
				os.MkdirAll("testdata/bad", 0o755)
				if err := os.WriteFile(filepath.Join("testdata/bad", bad.name+".gz"), gz(bad.make)(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			data := fixture(t, bad.name)
			path, cacheDir := write(t, data), t.TempDir()
			before := openFiles(t)
			im, err := Open(path, Options{CacheDir: cacheDir})
			if err == nil {
				im.Close()
				t.Fatal("opened")
			}
			var fe *FileError
			if !errors.Is(err, bad.is) || !errors.As(err, &fe) {
				t.Errorf("error is no *FileError of cause %v: %v", bad.is, err)
			}
			if !strings.Contains(err.Error(), bad.says) || !strings.HasPrefix(err.Error(), path+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error is not one line with the path and %q: %v", bad.says, err)
			}
			if fe != nil && fe.Do == "" {
				t.Errorf("error says nothing about what to do: %v", err)
			}
			if after := openFiles(t); after != before {
				t.Errorf("%d files open, %d before", after, before)
			}
			for _, e := range list(t, cacheDir) {
				if !strings.HasPrefix(e, "lock-") {
					t.Errorf("left %s in the cache", e)
				}
			}
		})
	}
}

func TestNoRegularFile(t *testing.T) {
	dir := t.TempDir()
	fifo, empty, secret := dir+"/fifo", dir+"/empty", dir+"/missing"
	if err := mkfifo(fifo); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(empty, nil, 0o644)
	for _, c := range []struct{ path, says string }{
		{dir, "is a directory"}, {fifo, "is a pipe"}, {empty, "is empty"}, {"/dev/null", "is a device"}, {secret, "no such file"},
	} {
		_, err := Open(c.path, Options{})
		if err == nil || !strings.HasPrefix(err.Error(), c.path+": ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("Open(%s) = %v, want %q", c.path, err, c.says)
		}
		_, err = OpenInitrds([]string{"/proc/self/exe", c.path})
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "kernel") {
			t.Errorf("OpenInitrds(%s) = %v, want %q and no kernel", c.path, err, c.says)
		}
	}
	if _, err := Open(secret, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v is not os.ErrNotExist", err)
	}
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func list(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func openFiles(t testing.TB) int { return len(list(t, "/proc/self/fd")) }
