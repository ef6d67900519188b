package devices

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// sum is the SHA-256 of a piece of a pattern.
func sum(seed, off uint64, n int) string {
	s := sha256.Sum256(ask.Pattern(seed, off, n))
	return hex.EncodeToString(s[:])
}

// imageOf makes a sparse image in the test's directory, a tmpfs in the nest.
func imageOf(t testing.TB, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return name
}

// fileHas compares a piece of a file with a pattern.
func fileHas(t testing.TB, name string, seed, off uint64, n int) {
	t.Helper()
	if at := ask.Mismatch(readAt(t, name, off, n), seed, off); at >= 0 {
		t.Errorf("%s: byte %d is not what the guest wrote", name, at)
	}
}

// fileHasZeroes wants a piece of zeroes.
func fileHasZeroes(t testing.TB, name string, off uint64, n int) {
	t.Helper()
	for i, c := range readAt(t, name, off, n) {
		if c != 0 {
			t.Fatalf("%s: byte %d is not zero", name, off+uint64(i))
		}
	}
}

func readAt(t testing.TB, name string, off uint64, n int) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(f, int64(off), int64(n)), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// writeAt puts a piece of a pattern into a file.
func writeAt(t testing.TB, name string, seed, off uint64, n int) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(ask.Pattern(seed, off, n), int64(off)); err != nil {
		t.Fatal(err)
	}
}
