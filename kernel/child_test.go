package kernel

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

// testApart makes a test's child process unpack apart.
const testApart = "MAYFLY_TEST_APART"

func TestMain(m *testing.M) {
	if os.Getenv(testApart) != "" {
		compression.Register(nil)
	}
	code := m.Run()
	if unpackerDir != "" {
		os.RemoveAll(unpackerDir)
	}
	os.Exit(code)
}

var unpackerDir string // where the real program was built; "": it wasn't yet

// apart makes this test unpack as a program does that links no unpacker, with
// the program in dir; "": the real one.
func apart(t *testing.T, dir string) {
	t.Helper()
	if dir == "" {
		if unpackerDir == "" {
			made, err := os.MkdirTemp("", "mayfly-unpack-")
			if err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("go", "build", "-o", made+"/", "../cmd/mayfly-unpack").CombinedOutput(); err != nil {
				t.Fatalf("building %s: %v\n%s", compression.Program, err, out)
			}
			unpackerDir = made
		}
		dir = unpackerDir
	}
	t.Setenv("PATH", dir)
	t.Setenv(testApart, "1")
	linked := compression.Register(nil)
	t.Cleanup(func() { compression.Register(linked) })
}

// What is true of unpacking in process is true of the program: the same bytes,
// and the same errors with the same texts.
func TestApartEachKind(t *testing.T) { apart(t, ""); TestUnpackEachKind(t) }
func TestApartBadFiles(t *testing.T) { apart(t, ""); TestBadFiles(t) }
func TestApartNoCache(t *testing.T)  { apart(t, ""); TestNoCache(t) }
func TestApartParallel(t *testing.T) { apart(t, ""); TestOpenInParallel(t) }
func TestApartKilled(t *testing.T)   { apart(t, ""); TestKilledWhileUnpacking(t) }
func TestApartChanged(t *testing.T)  { apart(t, ""); TestChangedWhileRead(t) }

// A damaged stream comes to the same in both, also where no checksum finds it.
func TestApartDamaged(t *testing.T) {
	open := func(t *testing.T, data []byte) (string, error) {
		im, err := Open(write(t, bzImageOf(data, uint32(len(plain(t))), false)), Options{CacheDir: t.TempDir()})
		if err != nil {
			_, after, _ := strings.Cut(err.Error(), ": ") // the path
			return after, err
		}
		defer im.Close()
		return string(content(t, im)), nil
	}
	for name, good := range packedSamples(t) {
		flipped := bytes.Clone(good)
		flipped[len(good)/2] ^= 0x55
		for damage, data := range map[string][]byte{"flipped": flipped, "cut": good[:len(good)*3/4]} {
			t.Run(name+" "+damage, func(t *testing.T) {
				here, errHere := open(t, data)
				apart(t, "")
				there, errThere := open(t, data)
				if here != there {
					t.Errorf("in process: %.200q\napart:      %.200q", here, there)
				}
				for _, is := range []error{ErrPayload, io.ErrUnexpectedEOF} {
					if errors.Is(errHere, is) != errors.Is(errThere, is) {
						t.Errorf("only one is %q: %v, %v", is, errHere, errThere)
					}
				}
			})
		}
	}
}

func TestNoUnpacker(t *testing.T) {
	apart(t, t.TempDir())
	path, cache := write(t, packedSamples(t)["sample.zst"]), t.TempDir()
	_, err := Open(path, Options{CacheDir: cache})
	if !errors.Is(err, ErrNoUnpacker) {
		t.Fatalf("%v", err)
	}
	for _, says := range []string{path + ": is packed with zstd", "mayfly-unpack", "kernel/unpack", "vmlinux"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v doesn't say %q", err, says)
		}
	}
	open := func(path string) error {
		im, err := Open(path, Options{CacheDir: cache})
		if err == nil {
			im.Close()
		}
		return err
	}
	if err := open(write(t, bzImageOf(newCraft().elf(), 0, true))); err != nil {
		t.Errorf("what isn't packed needs no unpacker: %v", err)
	}
	// What is in the cache needs none either.
	data := packedSamples(t)["sample.zst"]
	t.Run("fill", func(t *testing.T) {
		apart(t, "")
		if err := open(write(t, data)); err != nil {
			t.Fatal(err)
		}
	})
	if err := open(path); err != nil {
		t.Errorf("from the cache: %v", err)
	}
}

// Whatever the child does, it makes no kernel of what is none, the error is one
// clean line, and nothing is left.
func TestBadUnpacker(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell to write a bad unpacker in")
	}
	for name, c := range map[string]struct {
		script string // after the shebang
		is     error
		says   string
	}{
		"killed":              {"kill -9 $$", ErrPayload, "mayfly-unpack failed: signal: killed"},
		"killed half-way":     {`read x; printf '\177ELF'; kill -9 $$`, ErrPayload, "signal: killed"},
		"Go's runtime":        {"echo 'fatal error: out of memory' >&2; echo 'goroutine 1' >&2; exit 2", ErrPayload, "exit status 2: fatal error: out of memory"},
		"an unknown code":     {"exit 77", ErrPayload, "exit status 77"},
		"success, no output":  {"exit 0", ErrNotKernel, "holds nothing"},
		"success, junk":       {"echo junk, more than a few bytes of it so that it could be anything at all", ErrNotKernel, "is a text file"},
		"a bomb":              {`printf '\177ELF'; while :; do printf '%10000s'; done`, ErrTooLarge, "more than the 604577 bytes allowed"},
		"success, too much":   {`printf '\177ELF'; printf '%700000s'`, ErrTooLarge, "more than the 604577 bytes allowed"},
		"success, too little": {`printf '\177ELF'; printf '%5000s'`, ErrPayload, "5004 bytes when unpacked"},
		"hostile text":        {`printf 'mayfly-unpack: \033[2Jred\007\n' >&2; exit 3`, ErrPayload, "[2Jred;"},
		"endless text":        {"i=0; while [ $i -lt 3000 ]; do echo wordwordwordwordwordwordwordwordwordwordwordword; i=$((i+1)); done >&2; exit 3", ErrPayload, "word"},
		"an endless line":     {"i=0; while [ $i -lt 3000 ]; do printf wordwordwordwordwordwordwordwordwordwordwordword; i=$((i+1)); done >&2; exit 3", ErrPayload, "word"},
		"reads all, says no":  {"while read x; do :; done; echo no >&2; exit 4", ErrPayload, "unpacked: no"},
		"environment":         {`[ -z "$SECRET" ] || exit 78; exit 4`, ErrPayload, "cannot be unpacked"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, cache := t.TempDir(), t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, compression.Program), []byte("#!"+sh+"\n"+c.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("SECRET", "x")
			apart(t, dir)
			before := openFiles(t)
			path := write(t, bzImageOf(packedSamples(t)["sample.xz"], uint32(len(plain(t))), false))
			im, err := Open(path, Options{CacheDir: cache})
			if err == nil {
				im.Close()
				t.Fatal("opened")
			}
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %v and %q", err, c.is, c.says)
			}
			if s := err.Error(); strings.ContainsAny(s, "\n\x1b\x07") || len(s) > 800 {
				t.Errorf("no clean line: %q", s)
			}
			if after := openFiles(t); after > before {
				t.Errorf("%d files open, %d before", after, before)
			}
			for _, e := range list(t, cache) {
				if !strings.HasPrefix(e, "lock-") {
					t.Errorf("left %s in the cache", e)
				}
			}
		})
	}
}

// An unpacker that can't be executed is no end of the world, but no kernel.
func TestUnpackerOfAnotherMachine(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, compression.Program), []byte("\x7fELF no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	apart(t, dir)
	_, err := Open(write(t, packedSamples(t)["sample.gz"]), Options{CacheDir: t.TempDir()})
	if !errors.Is(err, ErrNoUnpacker) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
}

// If the stream can't be read on, the child doesn't go on either.
func TestReadErrorKills(t *testing.T) {
	apart(t, "")
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	broken := errors.New("the disk is gone")
	_, err = unpackByProgram(f, &brokenReader{data: packedSamples(t)["sample.xz"][:1000], err: broken}, compression.XZ, 1<<20)
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

type brokenReader struct {
	data []byte
	err  error
}

func (r *brokenReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, r.err
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// What can't be written is the file's error, not the stream's: memory may take it.
func TestApartWriteError(t *testing.T) {
	apart(t, "")
	f, err := os.Open(write(t, nil)) // for reading only
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var w *compression.WriteError
	if _, err := unpackByProgram(f, bytes.NewReader(packedSamples(t)["sample.gz"]), compression.Gzip, 1<<20); !errors.As(err, &w) {
		t.Errorf("%v is no error of the file", err)
	}
}
