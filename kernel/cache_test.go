package kernel

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/compression"
	"github.com/mayfly-vm/mayfly/kernel/unpack"
)

// packedSamples are unpack's fixtures as files that a user may give.
func packedSamples(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("unpack/testdata/sample*")
	if err != nil || len(paths) < 8 {
		t.Fatalf("%d fixtures, %v", len(paths), err)
	}
	files := map[string][]byte{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(p)] = b
	}
	return files
}

// plain is what they all hold.
func plain(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := unpack.To(&b, bytes.NewReader(packedSamples(t)["sample.gz"]), compression.Gzip, 1<<20); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// old gives a file times that lie far enough back for the index.
func old(t testing.TB, path string) {
	t.Helper()
	was := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, was, was); err != nil { // sets ctime to now, which can't be set
		t.Fatal(err)
	}
	<-time.After(time.Until(ctime(t, path).Add(settleLocal + time.Millisecond)))
}

func ctime(t testing.TB, path string) time.Time {
	t.Helper()
	f, st, err := openRegular(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return time.Unix(st.Ctim.Unix())
}

func content(t testing.TB, im *Image) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(im.File, 0, int64(im.Size)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestUnpackEachKind(t *testing.T) {
	want := plain(t)
	for name, packed := range packedSamples(t) {
		cache := t.TempDir()
		for form, data := range map[string][]byte{
			"bzImage": bzImageOf(packed, uint32(len(want)), strings.HasSuffix(name, ".gz")),
			"file":    packed,
		} {
			path := write(t, data)
			for range 2 {
				im, err := Open(path, Options{CacheDir: cache})
				if err != nil {
					t.Errorf("%s as %s: %v", name, form, err)
					break
				}
				if !bytes.Equal(content(t, im), want) || *im.PVH != 0x1000100 || im.Path != path || im.Compression == "" {
					t.Errorf("%s as %s: %d bytes, entry %#x, compression %q", name, form, im.Size, *im.PVH, im.Compression)
				}
				if form == "bzImage" && (len(im.SetupHeader) < 0x70 || im.Version() != "6.1.0-test (me@here) #1 SMP" || !im.Linux) {
					t.Errorf("%s: setup header of %d bytes, version %q, Linux %v", name, len(im.SetupHeader), im.Version(), im.Linux)
				}
				im.Close()
			}
		}
	}
}

func TestPlainPayload(t *testing.T) {
	elf := newCraft().elf()
	im := mustOpen(t, bzImageOf(elf, 0, true)) // without an appended size
	if !bytes.Equal(content(t, im), elf) || im.Compression != "none" {
		t.Errorf("%d bytes of %d, %q", im.Size, len(elf), im.Compression)
	}
}

// The second start must neither hash nor unpack, and not grow with the file.
func TestSecondOpenReadsLittle(t *testing.T) {
	cache, path := t.TempDir(), write(t, bzImageOf(packedSamples(t)["sample.zst"], uint32(len(plain(t))), false))
	old(t, path)
	for i := range 3 {
		before := readBytes(t)
		im, err := Open(path, Options{CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		im.Close()
		n := readBytes(t) - before
		if i > 0 && n > 12<<10 {
			t.Errorf("start %d read %d bytes", i+1, n)
		}
	}
	allocs := testing.AllocsPerRun(20, func() {
		im, err := Open(path, Options{CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		im.Close()
	})
	if allocs > 60 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestCachePermissions(t *testing.T) {
	cache, path := filepath.Join(t.TempDir(), "a", "b"), write(t, packedSamples(t)["sample.gz"])
	old(t, path)
	im, err := Open(path, Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	im.Close()
	if st, err := os.Stat(cache); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", st.Mode(), err)
	}
	names := list(t, cache)
	if len(names) != 3 { // kernel, index, lock
		t.Errorf("the cache holds %v", names)
	}
	for _, n := range names {
		if st, err := os.Stat(filepath.Join(cache, n)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", n, st.Mode(), err)
		}
	}
}

// A file that changes in place, with the same name, inode and size, must not
// give the old kernel.
func TestChangedInPlace(t *testing.T) {
	cache, path := t.TempDir(), write(t, nil)
	for i := range 4 {
		c := newCraft()
		c.body[0x500] = byte(i)
		elf := c.elf()
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(bzImageOf(elf, 0, true))
		f.Close()
		if i == 2 { // from here on the entry before is in the index
			old(t, path)
		}
		for range 2 {
			im, err := Open(path, Options{CacheDir: cache})
			if err != nil {
				t.Fatal(err)
			}
			if got := content(t, im); !bytes.Equal(got, elf) {
				t.Fatalf("round %d: got that of round %d", i, got[0x1500])
			}
			im.Close()
		}
	}
}

// A file so young that a change could leave its times as they are has no entry.
func TestYoungFileIsNotRemembered(t *testing.T) {
	cache, path := t.TempDir(), write(t, goodBzImage())
	future := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, future, future); err != nil {
		t.Fatal(err)
	}
	im, err := Open(path, Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	im.Close()
	for _, n := range list(t, cache) {
		if strings.HasPrefix(n, "i-") {
			t.Errorf("%s was written", n)
		}
	}
}

func TestSpoiledCache(t *testing.T) {
	want := newCraft().elf()
	for name, spoil := range map[string]func(kernel, index string) error{
		"kernel cut":              func(k, i string) error { return os.Truncate(k, 0x1800) },
		"kernel empty":            func(k, i string) error { return os.Truncate(k, 0) },
		"kernel gone":             func(k, i string) error { return os.Remove(k) },
		"kernel's header":         func(k, i string) error { return patch(k, 0x20, 0xff) },
		"kernel's first byte":     func(k, i string) error { return patch(k, 0, 'X') },
		"kernel a folder":         func(k, i string) error { os.Remove(k); return os.Mkdir(k, 0o700) },
		"kernel a link":           func(k, i string) error { os.Rename(k, k+"x"); return os.Symlink(k+"x", k) },
		"kernel for all to write": func(k, i string) error { return os.Chmod(k, 0o666) },
		"index cut":               func(k, i string) error { return os.Truncate(i, 40) },
		"index zeroes":            func(k, i string) error { os.Truncate(i, 0); return os.Truncate(i, indexSize) },
		"index bit":               func(k, i string) error { return patch(i, 90, 0x7f) },
		"left by a crash":         func(k, i string) error { return os.WriteFile(filepath.Dir(k)+"/tmp-1", []byte("half"), 0o600) },
	} {
		cache, path := t.TempDir(), write(t, goodBzImage())
		old(t, path)
		open := func() {
			t.Helper()
			im, err := Open(path, Options{CacheDir: cache})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			if !bytes.Equal(content(t, im), want) {
				t.Errorf("%s: wrong kernel", name)
			}
			im.Close()
		}
		open()
		var k, i string
		for _, n := range list(t, cache) {
			if len(n) == 64 {
				k = filepath.Join(cache, n)
			} else if strings.HasPrefix(n, "i-") {
				i = filepath.Join(cache, n)
			}
		}
		if k == "" || i == "" {
			t.Fatalf("the cache holds %v", list(t, cache))
		}
		if err := spoil(k, i); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		open()
		open()
	}
}

func patch(path string, at int64, b byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte{b}, at)
	return err
}

// Without a cache that can be written, the kernel lives in memory, and nobody
// can cut it short there.
func TestNoCache(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	for _, dir := range []string{filepath.Join(file, "below"), "/proc/mayfly"} {
		im, err := Open(write(t, goodBzImage()), Options{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content(t, im), newCraft().elf()) {
			t.Error("wrong kernel")
		}
		if im.File.Truncate(0) == nil {
			t.Error("could be truncated")
		}
		im.Close()
	}
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	im, err := Open(write(t, goodBzImage()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	im.Close()
}

func TestOpenInParallel(t *testing.T) {
	cache, path := t.TempDir(), write(t, bzImageOf(packedSamples(t)["sample.x86.xz"], uint32(len(plain(t))), false))
	want := plain(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			im, err := Open(path, Options{CacheDir: cache})
			if err != nil {
				t.Error(err)
				return
			}
			defer im.Close()
			if b, err := io.ReadAll(io.NewSectionReader(im.File, 0, int64(im.Size))); err != nil || !bytes.Equal(b, want) {
				t.Errorf("wrong kernel, %v", err)
			}
		})
	}
	wg.Wait()
	for _, n := range list(t, cache) {
		if strings.HasPrefix(n, "tmp-") {
			t.Errorf("%s is left", n)
		}
	}
}

// Processes that are killed at any moment must leave a cache that works.
func TestKilledWhileUnpacking(t *testing.T) {
	if dir := os.Getenv("MAYFLY_TEST_CACHE"); dir != "" {
		for i := 0; ; i++ {
			im, err := Open(os.Getenv("MAYFLY_TEST_KERNEL"), Options{CacheDir: dir})
			if err != nil {
				os.Stdout.WriteString("failed: " + err.Error() + "\n")
				return
			}
			im.Close()
			if i == 0 {
				os.Stdout.WriteString("ready\n")
			}
			for _, e := range list(t, dir) {
				if !strings.HasPrefix(e, "lock-") && !strings.HasPrefix(e, "tmp-") {
					os.Remove(filepath.Join(dir, e))
				}
			}
		}
	}
	cache, path := t.TempDir(), write(t, bzImageOf(packedSamples(t)["sample.bz2"], uint32(len(plain(t))), false))
	old(t, path)
	want := plain(t)
	for i := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileUnpacking$")
		cmd.Env = append(os.Environ(), "MAYFLY_TEST_CACHE="+cache, "MAYFLY_TEST_KERNEL="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 6)
		if _, err := io.ReadFull(out, line); err != nil || string(line) != "ready\n" {
			t.Errorf("child says %q, %v", line, err)
		}
		awaitChanges(t, cache, 3*i) // another moment each time
		cmd.Process.Kill()
		cmd.Wait()
		im, err := Open(path, Options{CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content(t, im), want) {
			t.Error("wrong kernel")
		}
		im.Close()
	}
}

// awaitChanges returns after n changes or more of a folder from now on: files
// that are made, closed after a write, moved or removed.
func awaitChanges(t *testing.T, dir string, n int) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_DELETE); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, unix.SizeofInotifyEvent+unix.NAME_MAX+1) // one event at least
	for range n {
		if _, err := unix.Read(fd, b); err != nil {
			t.Fatal(err)
		}
	}
}

func preparedCache(t *testing.T) *cache {
	t.Helper()
	c, err := cacheAt(t.TempDir())
	if err == nil {
		err = c.prepare()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestPrune(t *testing.T) {
	c := preparedCache(t)
	hex := func(b byte) string { return strings.Repeat(string(b), 64) }
	now := time.Now()
	for i, name := range []string{hex('a'), hex('b'), hex('c')} {
		if err := os.WriteFile(filepath.Join(c.path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(c.path, name), cacheBytes/2-1); err != nil { // sparse
			t.Fatal(err)
		}
		when := now.Add(time.Duration(i-10) * time.Minute)
		os.Chtimes(filepath.Join(c.path, name), when, when)
	}
	for name, age := range map[string]time.Duration{"tmp-old": 2 * tmpAge, "tmp-new": 0} {
		os.WriteFile(filepath.Join(c.path, name), nil, 0o600)
		os.Chtimes(filepath.Join(c.path, name), now.Add(-age), now.Add(-age))
	}
	c.prune(hex('a'))
	if got, want := strings.Join(list(t, c.path), " "), hex('a')+" "+hex('c')+" tmp-new"; got != want {
		t.Errorf("left %s\nwant %s", got, want)
	}
}

func BenchmarkOpen(b *testing.B) {
	cache := b.TempDir()
	elf, packed := write(b, plain(b)), write(b, bzImageOf(packedSamples(b)["sample.zst"], uint32(len(plain(b))), false))
	old(b, packed)
	for name, path := range map[string]string{"vmlinux": elf, "bzImage": packed} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				im, err := Open(path, Options{CacheDir: cache})
				if err != nil {
					b.Fatal(err)
				}
				im.Close()
			}
		})
	}
}

// A file that changes between hashing and unpacking must not get the other
// content's key.
func TestChangedWhileRead(t *testing.T) {
	path := write(t, goodBzImage())
	f, _, err := openRegular(path)
	if err != nil {
		t.Fatal(err)
	}
	im := &Image{File: f, Path: path}
	defer im.Close()
	b, err := parseBzImage(f, goodBzImage(), uint64(len(goodBzImage())))
	if err != nil {
		t.Fatal(err)
	}
	c := preparedCache(t)
	if _, _, err := im.fill(c, make(key, 32), b.payload); !errors.Is(err, ErrPayload) || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("fill with another key: %v", err)
	}
	if left := list(t, c.path); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestAnUnreadableFileIsClosed(t *testing.T) {
	f, err := os.Open(t.TempDir()) // a folder opens, and cannot be read
	if err != nil {
		t.Fatal(err)
	}
	if _, err := headOrClose(f); err == nil {
		t.Error("a folder was read")
	}
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file was left open: %v", err)
	}
}
