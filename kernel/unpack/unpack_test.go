package unpack

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/pierrec/lz4/v4"

	"github.com/mayfly-vm/mayfly/kernel/packing"
)

func TestFixtures(t *testing.T) {
	want := sample()
	for _, f := range fixtures {
		packed := fixture(t, f.file)
		if k := packing.Detect(packed); k != f.kind {
			t.Errorf("%s: detected as %q, want %q", f.file, k, f.kind)
		}
		if k := packing.Detect(packed[:13]); k != f.kind {
			t.Errorf("%s: 13 bytes detected as %q, want %q", f.file, k, f.kind)
		}
		for name, src := range map[string]io.Reader{
			"whole":          bytes.NewReader(packed),
			"byte by byte":   iotest.OneByteReader(bytes.NewReader(packed)),
			"with EOF early": iotest.DataErrReader(bytes.NewReader(packed)),
		} {
			var got bytes.Buffer
			n, err := To(&got, src, f.kind, int64(len(want)))
			if err != nil || n != int64(len(want)) || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s, %s: %d bytes of %d, %v, equal: %v", f.file, name, n, len(want), err, bytes.Equal(got.Bytes(), want))
			}
		}
	}
}

func TestLimit(t *testing.T) {
	size := int64(len(sample()))
	for _, f := range fixtures {
		for _, limit := range []int64{size - 1, size / 2, 1} {
			var got bytes.Buffer
			_, err := To(&got, bytes.NewReader(fixture(t, f.file)), f.kind, limit)
			if !errors.Is(err, packing.ErrLimit) {
				t.Errorf("%s with limit %d: %v, want ErrLimit", f.file, limit, err)
			}
			if int64(got.Len()) > limit+1 {
				t.Errorf("%s with limit %d wrote %d bytes", f.file, limit, got.Len())
			}
		}
	}
}

// A stream that is cut anywhere is an error, but for lz4, whose legacy frame has
// no end; there the caller compares sizes.
func TestTruncated(t *testing.T) {
	size := int64(len(sample()))
	for _, f := range fixtures {
		packed := fixture(t, f.file)
		for _, cut := range []int{1, 4, 7, 12, 13, 20, 100, len(packed) / 2, len(packed) * 7 / 8} {
			n, err := To(io.Discard, bytes.NewReader(packed[:cut]), f.kind, size)
			if err == nil && (f.kind != packing.LZ4 || n == size) {
				t.Errorf("%s cut at %d of %d: %d bytes and no error", f.file, cut, len(packed), n)
			}
		}
	}
}

// A changed byte must never pass unseen where the format has a checksum.
func TestCorrupt(t *testing.T) {
	want := sample()
	for _, f := range fixtures {
		packed := fixture(t, f.file)
		for at := 5; at < len(packed); at += len(packed)/40 + 1 {
			b := bytes.Clone(packed)
			b[at] ^= 0x55
			var got bytes.Buffer
			_, err := To(&got, bytes.NewReader(b), f.kind, int64(len(want)))
			if err == nil && !bytes.Equal(got.Bytes(), want) && f.kind != packing.LZ4 && f.kind != packing.LZMA {
				t.Errorf("%s with a changed byte %d of %d: wrong data and no error", f.file, at, len(packed))
			}
		}
	}
}

// Frames of more than one block, by another packer than the fixtures'.
func TestLZ4Blocks(t *testing.T) {
	want := append(bytes.Repeat(sample(), 14), "the end"...)
	if len(want) < lz4Block {
		t.Fatal("one block")
	}
	var packed, got bytes.Buffer
	w := lz4.NewWriter(&packed)
	if err := w.Apply(lz4.LegacyOption(true)); err != nil {
		t.Fatal(err)
	}
	w.Write(want)
	w.Close()
	if _, err := To(&got, &packed, packing.LZ4, int64(len(want))); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%v, equal: %v", err, bytes.Equal(got.Bytes(), want))
	}
}

func TestLZODecodeErrors(t *testing.T) {
	for name, src := range map[string]string{
		"empty":                   "",
		"no end mark":             "\x12a",
		"literals behind the end": "\x20abc",
		"match before the start":  "\x12a\x40\x01\x11\x00\x00",
		"bytes behind the end":    "\x12a\x11\x00\x00x",
		"length without end":      "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"instruction cut":         "\x12a\x40",
	} {
		if n, err := lzoDecode(make([]byte, 64), []byte(src)); !errors.Is(err, packing.ErrCorrupt) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	if n, err := lzoDecode(make([]byte, 64), []byte("\x12a\x11\x00\x00")); n != 1 || err != nil {
		t.Errorf("one literal: %d, %v", n, err)
	}
}

func BenchmarkTo(b *testing.B) {
	for _, f := range fixtures {
		b.Run(f.file, func(b *testing.B) {
			packed := fixture(b, f.file)
			b.SetBytes(int64(len(sample())))
			for b.Loop() {
				if _, err := To(io.Discard, bytes.NewReader(packed), f.kind, 1<<30); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
