// Package unpack undoes the compressions in which kernels are shipped. Each
// reads one stream and believes no length in it: To stops at the limit that it
// is given.
//
// A program that imports it unpacks kernels in its own process:
//
//	import _ "github.com/mayfly-vm/mayfly/kernel/unpack"
//
// One that doesn't starts without its tables, and package kernel runs the
// program mayfly-unpack instead.
package unpack

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

func init() { compression.Register(File) }

// File is the compression.Unpacker of this package.
func File(dst *os.File, src io.Reader, kind compression.Kind, limit int64) (int64, error) {
	sink := compression.NewSink(dst)
	if _, err := To(sink, src, kind, limit); err != nil {
		return 0, err
	}
	return sink.Finish()
}

// To unpacks src into dst and returns how many bytes it wrote. More than limit
// bytes are compression.ErrLimit. It holds at most about limit bytes of dictionary.
// What follows the stream in src is ignored.
func To(dst io.Writer, src io.Reader, kind compression.Kind, limit int64) (int64, error) {
	r, done, err := reader(bufio.NewReaderSize(src, 256<<10), kind, limit)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", kind, noEOF(err))
	}
	defer done()
	// One byte more than allowed distinguishes a stream that is too long from one that fits.
	n, err := io.CopyBuffer(onlyWriter{dst}, &io.LimitedReader{R: r, N: limit + 1}, make([]byte, 256<<10))
	switch {
	case n > limit:
		return n, fmt.Errorf("%s: %w: over %d", kind, compression.ErrLimit, limit)
	case err != nil:
		return n, fmt.Errorf("%s: %w", kind, noEOF(err))
	}
	return n, nil
}

func reader(src *bufio.Reader, kind compression.Kind, limit int64) (r io.Reader, done func(), err error) {
	done = func() {}
	switch kind {
	case compression.None:
		r = src
	case compression.Gzip:
		var z *gzip.Reader
		if z, err = gzip.NewReader(src); err == nil {
			// A bzImage's payload may be followed by padding; one member is all.
			z.Multistream(false)
			r = z
		}
	case compression.Bzip2:
		r = bzip2.NewReader(src)
	case compression.LZMA:
		r, err = newLZMA(src, limit)
	case compression.XZ:
		r, err = newXZ(src, limit)
	case compression.LZO:
		r, err = newLZOP(src)
	case compression.LZ4:
		r, err = newLZ4(src)
	case compression.Zstd:
		var z *zstd.Decoder
		// Kernels are packed with windows of 128 MiB (zstd -22), also small ones, so
		// the memory allowed must not be less than that. To counts what comes out.
		const window = 128 << 20
		z, err = zstd.NewReader(src, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(max(uint64(limit)+1, window)), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err == nil {
			r, done = z, z.Close
		}
	default:
		err = fmt.Errorf("%w: no such compression", compression.ErrFeature)
	}
	return r, done, err
}

// onlyWriter hides ReadFrom, which would circumvent the buffer.
type onlyWriter struct{ io.Writer }

// noEOF turns the end of the input inside a stream into an error that says so.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
