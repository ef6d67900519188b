package sha256_test

import (
	"bytes"
	standard "crypto/sha256"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/sha256"
)

// All lengths around the ends of blocks, written in pieces of all sorts.
func TestAgreesWithStandardLibrary(t *testing.T) {
	data := make([]byte, 300)
	for i := range data {
		data[i] = byte(i * 7)
	}
	for n := range data {
		for _, step := range []int{1, 3, 63, 64, 65, 300} {
			h := sha256.New()
			for p := data[:n]; len(p) > 0; p = p[min(step, len(p)):] {
				_, _ = h.Write(p[:min(step, len(p))])
			}
			want := standard.Sum256(data[:n])
			if got := h.Sum(nil); !bytes.Equal(got, want[:]) {
				t.Fatalf("%d bytes by %d: %x, want %x", n, step, got, want)
			}
			if again := h.Sum([]byte{1}); !bytes.Equal(again[1:], want[:]) {
				t.Fatalf("a second sum of %d bytes differs", n)
			}
		}
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("abc"), 1)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		cut = min(max(cut, 0), len(data))
		h := sha256.New()
		_, _ = h.Write(data[:cut])
		_, _ = h.Write(data[cut:])
		if want := standard.Sum256(data); !bytes.Equal(h.Sum(nil), want[:]) {
			t.Fatalf("%x by %d", data, cut)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	p := make([]byte, 1<<20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		h := sha256.New()
		_, _ = h.Write(p)
		h.Sum(nil)
	}
}
