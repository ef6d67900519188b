package unpack

import (
	"bytes"
	"io"
	"testing"

	"github.com/pierrec/lz4/v4"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

// fuzz feeds a kind's decoder anything that begins as its fixtures do.
func fuzz(f *testing.F, kind compression.Kind) {
	for _, x := range fixtures {
		if x.kind == kind {
			f.Add(fixture(f, x.file))
		}
	}
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := To(io.Discard, bytes.NewReader(data), kind, limit)
		if err == nil && n > limit {
			t.Fatalf("%d bytes", n)
		}
	})
}

func FuzzGzip(f *testing.F)  { fuzz(f, compression.Gzip) }
func FuzzBzip2(f *testing.F) { fuzz(f, compression.Bzip2) }
func FuzzLZMA(f *testing.F)  { fuzz(f, compression.LZMA) }
func FuzzXZ(f *testing.F)    { fuzz(f, compression.XZ) }
func FuzzLZO(f *testing.F)   { fuzz(f, compression.LZO) }

func FuzzLZ4(f *testing.F) {
	for _, o := range [][]lz4.Option{{lz4.ChecksumOption(false)}, {lz4.BlockChecksumOption(true), lz4.BlockSizeOption(lz4.Block64Kb)}} {
		var packed bytes.Buffer
		w := lz4.NewWriter(&packed)
		if err := w.Apply(o...); err != nil {
			f.Fatal(err)
		}
		w.Write(sample()[:100<<10])
		w.Close()
		f.Add(packed.Bytes())
	}
	fuzz(f, compression.LZ4)
}

func FuzzZstd(f *testing.F) { fuzz(f, compression.Zstd) }

// The block decoders, without the frames' checksums.
func FuzzLZOBlock(f *testing.F) {
	f.Add([]byte("\x12a\x11\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) { lzoDecode(make([]byte, 1<<16), data) })
}

func FuzzLZ4Block(f *testing.F) {
	f.Add([]byte("\x10a"))
	f.Fuzz(func(t *testing.T, data []byte) { lz4Decode(make([]byte, 1<<16), data) })
}

func FuzzX86Filter(f *testing.F) {
	f.Add([]byte("\xe8\x00\x00\x00\x00\xe9\xe8\x01\x02\x00\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := io.ReadAll(&x86Filter{r: bytes.NewReader(data)})
		if err != nil || len(got) != len(data) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(data), err)
		}
	})
}
