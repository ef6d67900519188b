package qcow2_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/disk"
	_ "github.com/mayfly-vm/mayfly/disk/qcow2"
)

const (
	cluster = 64 << 10
	size    = 1 << 20
)

// spec is an image to be written: header, L1, one L2 table, data, a cluster each
// (compressed ones less).
type spec struct {
	version    uint32
	backing    string
	format     string         // of the backing file
	data       map[int][]byte // by cluster
	compressed map[int][]byte // likewise
	zero       []int          // clusters that read as zeroes whatever their offset is
	change     func([]byte)   // the finished file, to spoil it
}

func (s spec) bytes() []byte {
	be := binary.BigEndian
	b := make([]byte, 3*cluster)
	copy(b, "QFI\xfb")
	if s.version == 0 {
		s.version = 3
	}
	be.PutUint32(b[4:], s.version)
	be.PutUint32(b[20:], 16)
	be.PutUint64(b[24:], size)
	be.PutUint32(b[36:], 1)
	be.PutUint64(b[40:], cluster)
	at := 72
	if s.version == 3 {
		be.PutUint32(b[96:], 4)
		be.PutUint32(b[100:], 104)
		at = 104
	}
	if s.format != "" {
		be.PutUint32(b[at:], 0xe2792aca)
		be.PutUint32(b[at+4:], uint32(len(s.format)))
		copy(b[at+8:], s.format)
	}
	if s.backing != "" {
		be.PutUint64(b[8:], 1024)
		be.PutUint32(b[16:], uint32(len(s.backing)))
		copy(b[1024:], s.backing)
	}
	be.PutUint64(b[cluster:], 2*cluster|1<<63)
	l2 := func(i int, v uint64) { be.PutUint64(b[2*cluster+8*i:], v) }
	for i, p := range s.data {
		l2(i, uint64(len(b))|1<<63)
		b = append(b, append(p[:len(p):len(p)], make([]byte, cluster-len(p))...)...)
	}
	for i, p := range s.compressed {
		var z bytes.Buffer
		w, _ := flate.NewWriter(&z, 9)
		w.Write(append(p[:len(p):len(p)], make([]byte, cluster-len(p))...))
		w.Close()
		off := len(b)
		b = append(b, append(z.Bytes(), make([]byte, 511)...)...)
		b = b[:len(b)&^511]
		sectors := uint64((off+z.Len()-1)/512 - off/512)
		l2(i, 1<<62|sectors<<54|uint64(off))
	}
	for _, i := range s.zero {
		l2(i, 1)
	}
	if s.change != nil {
		s.change(b)
	}
	return b
}

func write(t *testing.T, path string, p []byte) string {
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(path string) (disk.Image, error) {
	return disk.Open(disk.Options{Path: path, ReadOnly: true, Format: disk.QCOW2})
}

func read(img disk.Image, off, n int) ([]byte, error) {
	p := make([]byte, n)
	h := n / 3
	v := []unix.Iovec{{Base: &p[0], Len: uint64(h)}, {Base: &p[h], Len: uint64(n - h)}}
	m, err := img.Readv(v, int64(off))
	return p[:m], err
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "base.raw"), fill(9, 5*cluster+100))
	write(t, filepath.Join(dir, "middle.qcow2"), spec{version: 2, backing: "base.raw", format: "raw", data: map[int][]byte{1: fill(1, cluster), 2: fill(2, 100)}}.bytes())
	top := write(t, filepath.Join(dir, "top.qcow2"), spec{backing: filepath.Join(dir, "middle.qcow2"), format: "qcow2",
		data: map[int][]byte{3: fill(3, cluster)}, compressed: map[int][]byte{4: fill(4, cluster), 15: []byte("end")}, zero: []int{0}}.bytes())
	want := make([]byte, size)
	copy(want[:5*cluster+100], fill(9, 5*cluster+100))
	copy(want[cluster:], fill(1, cluster))
	copy(want[2*cluster:], append(fill(2, 100), make([]byte, cluster-100)...))
	copy(want[3*cluster:], fill(3, cluster))
	copy(want[4*cluster:], fill(4, cluster))
	copy(want, make([]byte, cluster))
	copy(want[15*cluster:], "end")
	// By its name alone too.
	img, err := disk.Open(disk.Options{Path: top, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if img.Size() != size {
		t.Fatalf("%d bytes", img.Size())
	}
	for _, n := range []int{512, 4096, 3 * cluster, size} {
		for off := 0; off+n <= size; off += n + 1536 {
			if got, err := read(img, off, n); err != nil || !bytes.Equal(got, want[off:off+n]) {
				t.Fatalf("%d bytes at %d: got %d, %v", n, off, len(got), err)
			}
		}
	}
	// Whoever writes to a file of the chain would change what the guest sees.
	if w, err := disk.Open(disk.Options{Path: filepath.Join(dir, "base.raw")}); err == nil {
		w.Close()
		t.Error("a backing file can be opened for writing")
	}
}

func TestErrors(t *testing.T) {
	be := binary.BigEndian
	top := t.TempDir()
	dir, outside := filepath.Join(top, "images"), filepath.Join(top, "outside")
	for _, d := range []string{dir, outside, filepath.Join(dir, "sub")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(outside, "secret"), fill(7, cluster))
	write(t, filepath.Join(dir, "sub", "base"), fill(7, cluster))
	if err := errors.Join(os.Symlink("../outside/secret", filepath.Join(dir, "link")), os.Symlink(outside, filepath.Join(dir, "folder"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "self.qcow2"), spec{backing: "self.qcow2", format: "qcow2"}.bytes())
	write(t, filepath.Join(dir, "a.qcow2"), spec{backing: "b.qcow2", format: "qcow2"}.bytes())
	write(t, filepath.Join(dir, "b.qcow2"), spec{backing: "a.qcow2", format: "qcow2"}.bytes())
	for i := range 40 {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.qcow2", i)), spec{backing: fmt.Sprintf("%d.qcow2", i+1)}.bytes())
	}
	unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600)
	for _, x := range []struct {
		name string
		s    spec
		want string
	}{
		{"self.qcow2", spec{backing: "self.qcow2", format: "qcow2"}, "loop"},
		{"loop", spec{backing: "a.qcow2", format: "qcow2"}, "loop"},
		{"deep", spec{backing: "0.qcow2"}, "more than 32"},
		{"orphan", spec{backing: "none"}, "backing file none: no such file"},
		{"fifo-backing", spec{backing: "fifo"}, "no regular file"},
		{"url", spec{backing: "nbd://host/x"}, "only local files"},
		{"json", spec{backing: `json:{"driver":"file"}`}, "only local files"},
		{"absolute", spec{backing: "/etc/passwd", format: "raw"}, "it lies in /etc, not in " + dir},
		{"upwards", spec{backing: "../outside/secret", format: "raw"}, "backing=" + outside},
		{"link", spec{backing: "link", format: "raw"}, "backing=" + outside},
		{"below", spec{backing: "sub/base", format: "raw"}, "backing=" + filepath.Join(dir, "sub")},
		{"linked-folder", spec{backing: "folder/secret", format: "raw"}, "backing=" + outside},
		{"format", spec{backing: "a.qcow2", format: "vdi"}, `"vdi" is unknown`},
		{"version", spec{version: 4}, "version 4"},
		{"bits", spec{change: func(b []byte) { be.PutUint32(b[20:], 31) }}, "clusters of 2^31"},
		{"bits0", spec{change: func(b []byte) { be.PutUint32(b[20:], 0) }}, "clusters of 2^0"},
		{"crypt", spec{change: func(b []byte) { be.PutUint32(b[32:], 1) }}, "encrypted"},
		{"size", spec{change: func(b []byte) { be.PutUint64(b[24:], 1<<63) }}, "L1 entries are for no more"},
		{"size0", spec{change: func(b []byte) { be.PutUint64(b[24:], 0) }}, "a disk of 0 bytes"},
		{"l1", spec{change: func(b []byte) { be.PutUint32(b[36:], 1<<31) }}, "L1 entries"},
		{"l1long", spec{change: func(b []byte) { be.PutUint32(b[36:], 1<<21) }}, "shorter than its header says"},
		{"l1off", spec{change: func(b []byte) { be.PutUint64(b[40:], 100) }}, "no cluster"},
		{"l1end", spec{change: func(b []byte) { be.PutUint64(b[40:], 1<<40) }}, "shorter than its header says"},
		{"header", spec{change: func(b []byte) { be.PutUint32(b[100:], 1<<20) }}, "1048576 bytes long"},
		{"backing", spec{backing: "x", change: func(b []byte) { be.PutUint32(b[16:], 5000) }}, "5000 bytes"},
		{"backingoff", spec{backing: "x", change: func(b []byte) { be.PutUint64(b[8:], 1<<62) }}, "backing file's name"},
		{"corrupt", spec{change: func(b []byte) { be.PutUint64(b[72:], 2) }}, "qemu-img check"},
		{"external", spec{change: func(b []byte) { be.PutUint64(b[72:], 4) }}, "external data file"},
		{"extended", spec{change: func(b []byte) { be.PutUint64(b[72:], 16) }}, "extended L2"},
		{"zstd", spec{change: func(b []byte) { be.PutUint64(b[72:], 8); be.PutUint32(b[100:], 112); b[104] = 1 }}, "zstd"},
		{"unknown", spec{change: func(b []byte) { be.PutUint64(b[72:], 1<<40) }}, "features 0x10000000000"},
	} {
		path := write(t, filepath.Join(dir, x.name), x.s.bytes())
		img, err := open(path)
		if err == nil {
			img.Close()
		}
		if err == nil || !strings.Contains(err.Error(), x.want) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: %v, want %q", x.name, err, x.want)
		}
		// Nothing stays open.
		if w, err := disk.Open(disk.Options{Path: path, Format: disk.Raw}); err != nil {
			t.Errorf("%s after the error: %v", x.name, err)
		} else {
			w.Close()
		}
	}
	path := write(t, filepath.Join(dir, "w.qcow2"), spec{}.bytes())
	_, err := disk.Open(disk.Options{Path: path})
	if want := "qemu-img convert -O raw " + path + " " + strings.TrimSuffix(path, ".qcow2") + ".raw"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("writable: %v", err)
	}
}

// TestBackingFolder: where the files may lie is its user's to say, not the image's.
func TestBackingFolder(t *testing.T) {
	top := t.TempDir()
	bases := filepath.Join(top, "bases")
	if err := os.MkdirAll(filepath.Join(bases, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(bases, "deep", "base.raw"), fill(9, cluster))
	write(t, filepath.Join(bases, "middle.qcow2"), spec{backing: "deep/base.raw", format: "raw"}.bytes())
	path := write(t, filepath.Join(top, "top.qcow2"), spec{backing: filepath.Join(bases, "middle.qcow2"), format: "qcow2"}.bytes())
	for folder, ok := range map[string]bool{"": false, bases: true, "/": true, top: true, filepath.Join(bases, "deep"): false, "/none": false} {
		img, err := disk.Open(disk.Options{Path: path, ReadOnly: true, Backing: folder})
		if err == nil {
			if got, rerr := read(img, 0, 512); rerr != nil || !bytes.Equal(got, fill(9, 512)) {
				t.Errorf("backing=%s: read %v, %v", folder, got[:min(8, len(got))], rerr)
			}
			img.Close()
		}
		if (err == nil) != ok {
			t.Errorf("backing=%s: %v", folder, err)
		}
	}
	t.Chdir(top) // names count from here
	img, err := disk.Open(disk.Options{Path: "top.qcow2", ReadOnly: true, Backing: "bases"})
	if err != nil {
		t.Fatal(err)
	}
	img.Close()
}

// TestLinkedChain: names count from the folder of the name that led to a file, not of the file.
// TestGivenFile: an image that is handed over open, and its backing file, which is
// found by the image's path.
func TestGivenFile(t *testing.T) {
	dir := t.TempDir()
	base := write(t, filepath.Join(dir, "base.qcow2"), spec{data: map[int][]byte{1: bytes.Repeat([]byte{5}, cluster)}}.bytes())
	top := write(t, filepath.Join(dir, "top.qcow2"), spec{backing: "base.qcow2", format: "qcow2"}.bytes())
	handed := func(path string) *os.File {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, o := range []disk.Options{
		{File: handed(base)},
		{File: handed(top), Path: top},
		{File: handed(top), Path: filepath.Join(dir, "another.qcow2"), Format: disk.QCOW2},
	} {
		o.ReadOnly = true
		img, err := disk.Open(o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		p := make([]byte, 512)
		if n, err := img.Readv([]unix.Iovec{{Base: unsafe.SliceData(p), Len: 512}}, cluster); n != 512 || err != nil || p[0] != 5 {
			t.Errorf("%+v: read %d, %v, %d", o, n, err, p[0])
		}
		img.Close()
	}
	img, err := disk.Open(disk.Options{File: handed(top), ReadOnly: true})
	if err == nil {
		img.Close()
	}
	if err == nil || !strings.Contains(err.Error(), `has a backing file, "base.qcow2"`) || !strings.Contains(err.Error(), "path too") {
		t.Errorf("without a path: %v", err)
	}
}

func TestLinkedChain(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "store"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "base.raw"), fill(9, cluster))
	write(t, filepath.Join(dir, "store", "abc"), spec{backing: "base.raw", format: "raw"}.bytes())
	if err := os.Symlink("store/abc", filepath.Join(dir, "middle.qcow2")); err != nil {
		t.Fatal(err)
	}
	path := write(t, filepath.Join(dir, "top.qcow2"), spec{backing: "middle.qcow2", format: "qcow2"}.bytes())
	img, err := disk.Open(disk.Options{Path: path, ReadOnly: true, Backing: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if got, err := read(img, 0, 512); err != nil || !bytes.Equal(got, fill(9, 512)) {
		t.Errorf("read %v, %v", got[:min(8, len(got))], err)
	}
}

// TestDamaged: tables that point nowhere give errors when they are used.
func TestDamaged(t *testing.T) {
	be := binary.BigEndian
	for name, change := range map[string]func([]byte){
		"L2 after the end":         func(b []byte) { be.PutUint64(b[cluster:], 1<<40) },
		"data after the end":       func(b []byte) { be.PutUint64(b[2*cluster:], 1<<40) },
		"compressed after the end": func(b []byte) { be.PutUint64(b[2*cluster:], 1<<62|1<<40) },
		"compressed noise":         func(b []byte) { be.PutUint64(b[2*cluster:], 1<<62|3*cluster); copy(b[3*cluster:], fill(0xff, 512)) },
	} {
		img, err := open(write(t, filepath.Join(t.TempDir(), "x"), spec{data: map[int][]byte{0: fill(1, 10)}, change: change}.bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(img, 0, 4096); err == nil && len(got) == 4096 {
			t.Errorf("%s: no error", name)
		}
		img.Close()
	}
}

// small is a whole image in 2 KiB: header, L1, L2 and one cluster, of 512 bytes.
func small(backing string, l2 ...uint64) []byte {
	be := binary.BigEndian
	b := make([]byte, 4*512)
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 9)
	be.PutUint64(b[24:], 64*512)
	be.PutUint32(b[36:], 1)
	be.PutUint64(b[40:], 512)
	be.PutUint32(b[100:], 104)
	if backing != "" {
		be.PutUint64(b[8:], 256)
		be.PutUint32(b[16:], uint32(len(backing)))
		copy(b[256:], backing)
	}
	be.PutUint64(b[512:], 1024)
	for i, v := range l2 {
		be.PutUint64(b[1024+8*i:], v)
	}
	return b
}

func FuzzOpen(f *testing.F) {
	f.Add(small(""), uint32(0))
	f.Add(small("", 3*512, 1, 1<<62|3*512, 1<<62|1<<61|1536), uint32(512))
	f.Add(small("base", 0, 3*512), uint32(1024))
	f.Add(small("image"), uint32(1024))
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "base"), fill(1, 1000), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, off uint32) {
		path := filepath.Join(dir, fmt.Sprint("image", os.Getpid()))
		write(t, path, data)
		img, err := open(path)
		if err != nil {
			return
		}
		defer img.Close()
		for _, at := range []int64{0, int64(off) &^ 511, img.Size() - 4096} {
			if at < 0 || at+4096 > img.Size() {
				continue
			}
			p := make([]byte, 4096)
			if n, _ := img.Readv([]unix.Iovec{{Base: unsafe.SliceData(p), Len: 4096}}, at); n < 0 || n > 4096 {
				t.Errorf("%d of 4096 bytes", n)
			}
		}
	})
}

// TestSmallCompressedClusters: the decompressor reports the end together with the
// last bytes of a cluster; the clusters after it are read all the same.
func TestSmallCompressedClusters(t *testing.T) {
	b := small("", 1<<62|3*512, 1<<62|4*512, 0, 1<<62|3*512)
	for i, at := range []int{3 * 512, 4 * 512} {
		var z bytes.Buffer
		w, _ := flate.NewWriter(&z, 9)
		w.Write(fill(byte(i+1), 512))
		w.Close()
		b = append(b[:at], append(z.Bytes(), make([]byte, 512-z.Len())...)...)
	}
	img, err := open(write(t, filepath.Join(t.TempDir(), "x"), b))
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	want := slices.Concat(fill(1, 512), fill(2, 512), make([]byte, 512), fill(1, 512))
	p := make([]byte, len(want))
	for off := 0; off < len(p); {
		n, err := img.Readv([]unix.Iovec{{Base: &p[off], Len: uint64(len(p) - off)}}, int64(off))
		if err != nil || n == 0 {
			t.Fatalf("at %d: %d bytes, %v", off, n, err)
		}
		off += n
	}
	if !bytes.Equal(p, want) {
		t.Error("other contents")
	}
}
