package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/pierrec/lz4/v4"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

func TestFixtures(t *testing.T) {
	want := sample()
	for _, f := range fixtures {
		packed := fixture(t, f.file)
		if k := compression.Detect(packed); k != f.kind {
			t.Errorf("%s: detected as %q, want %q", f.file, k, f.kind)
		}
		if k := compression.Detect(packed[:13]); k != f.kind {
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
			if !errors.Is(err, compression.ErrLimit) {
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
			if err == nil && (f.kind != compression.LZ4 || n == size) {
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
			if err == nil && !bytes.Equal(got.Bytes(), want) && f.kind != compression.LZ4 && f.kind != compression.LZMA {
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
	if _, err := To(&got, &packed, compression.LZ4, int64(len(want))); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%v, equal: %v", err, bytes.Equal(got.Bytes(), want))
	}
}

// Frames in each of their forms, by another packer.
func TestLZ4Frames(t *testing.T) {
	want := append(bytes.Repeat(sample(), 2), "the end"...)
	for name, options := range map[string][]lz4.Option{
		"default":            nil,
		"64 KiB":             {lz4.BlockSizeOption(lz4.Block64Kb)},
		"256 KiB, checksums": {lz4.BlockSizeOption(lz4.Block256Kb), lz4.BlockChecksumOption(true)},
		"size":               {lz4.SizeOption(uint64(len(want)))},
		"no checksum":        {lz4.ChecksumOption(false)},
		"level 9":            {lz4.CompressionLevelOption(lz4.Level9), lz4.BlockSizeOption(lz4.Block1Mb)},
	} {
		var packed bytes.Buffer
		w := lz4.NewWriter(&packed)
		if err := w.Apply(options...); err != nil {
			t.Fatal(err)
		}
		w.Write(want)
		w.Close()
		whole := packed.Bytes()
		if k := compression.Detect(whole); k != compression.LZ4 {
			t.Errorf("%s: detected as %q", name, k)
		}
		for _, tail := range []string{"", "what follows"} {
			var got bytes.Buffer
			src := iotest.HalfReader(bytes.NewReader(append(bytes.Clone(whole), tail...)))
			if _, err := To(&got, src, compression.LZ4, int64(len(want))); err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s: %v, equal: %v", name, err, bytes.Equal(got.Bytes(), want))
			}
		}
		if _, err := To(io.Discard, bytes.NewReader(whole), compression.LZ4, int64(len(want)-1)); !errors.Is(err, compression.ErrLimit) {
			t.Errorf("%s: %v, want ErrLimit", name, err)
		}
		for _, cut := range []int{4, 6, 7, 12, 100, len(whole) / 2, len(whole) - 1} {
			if _, err := To(io.Discard, bytes.NewReader(whole[:cut]), compression.LZ4, 1<<30); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, cut at %d: %v", name, cut, err)
			}
		}
		if name == "no checksum" {
			continue
		}
		for at := 4; at < len(whole); at += len(whole)/60 + 1 {
			b := bytes.Clone(whole)
			b[at] ^= 0x55
			var got bytes.Buffer
			if _, err := To(&got, bytes.NewReader(b), compression.LZ4, 1<<30); err == nil && !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s: a changed byte %d passes", name, at)
			}
		}
	}
}

// Blocks whose matches reach into the blocks before, as lz4 -BD writes them.
func TestLZ4LinkedBlocks(t *testing.T) {
	header := []byte{flgVersion1 | flgContentChecksum, 0x40}
	frame := append([]byte(compression.MagicLZ4Frame), header...)
	frame = append(frame, byte(xxh32Of(header)>>8))
	var want []byte
	block := func(stored bool, data ...byte) {
		n := uint32(len(data))
		if stored {
			n |= lz4Stored
		}
		frame = binary.LittleEndian.AppendUint32(frame, n)
		frame = append(frame, data...)
	}
	first := bytes.Repeat([]byte("0123456789abcdef"), lz4Window/16)
	block(true, first...)
	want = append(want, first...)
	for range 3 { // "x", 4 bytes from 65535 before, then "y"
		block(false, 0x10, 'x', 0xff, 0xff, 0x10, 'y')
		want = append(want, 'x')
		want = append(want, want[len(want)-65535:][:4]...)
		want = append(want, 'y')
	}
	frame = binary.LittleEndian.AppendUint32(frame, 0)
	frame = binary.LittleEndian.AppendUint32(frame, xxh32Of(want))
	var got bytes.Buffer
	if _, err := To(&got, bytes.NewReader(frame), compression.LZ4, 1<<20); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%v, %d bytes of %d", err, got.Len(), len(want))
	}
}

func TestXXH32(t *testing.T) {
	for in, want := range map[string]uint32{"": 0x02CC5D05, "a": 0x550D7456, "abc": 0x32D153FF, "Nobody inspects the spammish repetition": 0xE2293B2F} {
		if got := xxh32Of([]byte(in)); got != want {
			t.Errorf("%q: %#x, want %#x", in, got, want)
		}
		var x xxh32
		x.reset()
		for i := range len(in) {
			x.write([]byte(in[i : i+1]))
		}
		if got := x.value(); got != want {
			t.Errorf("%q by bytes: %#x, want %#x", in, got, want)
		}
	}
}

func TestLZODecodeErrors(t *testing.T) {
	for name, src := range map[string]string{
		"empty":                  "",
		"no end mark":            "\x12a",
		"literals after the end": "\x20abc",
		"match before the start": "\x12a\x40\x01\x11\x00\x00",
		"bytes after the end":    "\x12a\x11\x00\x00x",
		"length without end":     "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"instruction cut":        "\x12a\x40",
	} {
		if n, err := lzoDecode(make([]byte, 64), []byte(src)); !errors.Is(err, compression.ErrCorrupt) {
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
