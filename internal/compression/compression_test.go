package compression

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestDetectNothing(t *testing.T) {
	for _, s := range []string{"", "\x1f", "]", "] a text that begins with a bracket", "\x5d\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00", "MZ", "\x89LZ"} {
		if k := Detect([]byte(s)); k != "" {
			t.Errorf("%q detected as %s", s, k)
		}
	}
}

// What a child says must mean the same to its parent.
func TestExitRoundTrip(t *testing.T) {
	for _, c := range []struct {
		err error
		is  error
	}{
		{fmt.Errorf("xz: %w: index", ErrCorrupt), ErrCorrupt},
		{errors.New("gzip: invalid checksum"), ErrCorrupt},
		{fmt.Errorf("xz: %w: %w", ErrCorrupt, io.ErrUnexpectedEOF), io.ErrUnexpectedEOF},
		{fmt.Errorf("zstd: %w", ErrLimit), ErrLimit},
		{fmt.Errorf("zstd: %w", ErrFeature), ErrFeature},
	} {
		got := ExitError(ExitCode(c.err), c.err.Error())
		if !errors.Is(got, c.is) || got.Error() != c.err.Error() {
			t.Errorf("%v became %v, no %v", c.err, got, c.is)
		}
	}
	var w *WriteError
	if got := ExitError(ExitCode(&WriteError{syscall.ENOSPC}), "no space"); !errors.As(got, &w) || got.Error() != "no space" {
		t.Errorf("a full disk became %v", got)
	}
	if ExitCode(nil) != ExitDone {
		t.Error("success is an error")
	}
	for _, code := range []int{-1, ExitDone, 1, ExitUsage, ExitForeign, 9, 255} {
		if err := ExitError(code, "x"); err != nil {
			t.Errorf("code %d became %v", code, err)
		}
	}
}

func TestSink(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := append([]byte("\x7fELF"), make([]byte, 3<<20)...)
	want = append(want, "the end"...)
	want = append(want, make([]byte, 5000)...)
	s := NewSink(f)
	for rest := want; len(rest) > 0; {
		n, err := s.Write(rest[:min(len(rest), 100_001)])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if n, err := s.Finish(); err != nil || n != int64(len(want)) {
		t.Errorf("%d bytes of %d, %v", n, len(want), err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
	st, err := f.Stat()
	if err != nil || st.Sys().(*syscall.Stat_t).Blocks*512 > 100_000 {
		t.Errorf("%d blocks for three pages of data, %v", st.Sys().(*syscall.Stat_t).Blocks, err)
	}
}

func TestSinkRefusesAtOnce(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var foreign *ForeignError
	s := NewSink(f)
	if _, err := s.Write(bytes.Repeat([]byte("bomb"), 1<<20)); !errors.As(err, &foreign) || len(foreign.Head) != headSize {
		t.Errorf("%v", err)
	}
	if _, err := NewSink(f).Finish(); !errors.As(err, &foreign) || len(foreign.Head) != 0 {
		t.Errorf("nothing at all: %v", err)
	}
}
