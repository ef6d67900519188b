// Package unpack undoes the compressions in which kernels are shipped. Each is
// recognised by its first bytes, reads one stream and believes no length in it:
// To stops at the limit that it is given.
package unpack

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Kind is a compression.
type Kind string

// Kinds. None is an ELF file as it is.
const (
	None  Kind = "none"
	Gzip  Kind = "gzip"
	Bzip2 Kind = "bzip2"
	LZMA  Kind = "lzma"
	XZ    Kind = "xz"
	LZO   Kind = "lzo"
	LZ4   Kind = "lz4"
	Zstd  Kind = "zstd"
)

// Errors of a stream, for errors.Is. io.ErrUnexpectedEOF is one that is cut off.
var (
	ErrCorrupt = errors.New("corrupt data")
	ErrLimit   = errors.New("unpacks to more bytes than allowed")
	ErrFeature = errors.New("uses a feature that is not supported")
)

// Detect judges by a stream's first bytes, of which 13 are enough; "" means none
// of the kinds. The lzma format has no magic: it is taken for one if its
// properties are the usual ones and its sizes are sane.
func Detect(head []byte) Kind {
	for _, m := range [...]struct {
		kind  Kind
		magic string
	}{
		{None, "\x7fELF"}, {Gzip, "\x1f\x8b\x08"}, {Bzip2, "BZh"}, {XZ, xzMagic},
		{LZO, lzopMagic}, {LZ4, lz4Magic}, {Zstd, "\x28\xb5\x2f\xfd"},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.kind
		}
	}
	if isLZMA(head) {
		return LZMA
	}
	return ""
}

// To unpacks src into dst and returns how many bytes it wrote. More than limit
// bytes are ErrLimit. It holds at most about limit bytes of dictionary.
// What follows the stream in src is ignored.
func To(dst io.Writer, src io.Reader, kind Kind, limit int64) (int64, error) {
	r, done, err := reader(bufio.NewReaderSize(src, 256<<10), kind, limit)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", kind, noEOF(err))
	}
	defer done()
	// One byte more than allowed tells a stream that is too long from one that fits.
	n, err := io.CopyBuffer(onlyWriter{dst}, &io.LimitedReader{R: r, N: limit + 1}, make([]byte, 256<<10))
	switch {
	case n > limit:
		return n, fmt.Errorf("%s: %w: over %d", kind, ErrLimit, limit)
	case err != nil:
		return n, fmt.Errorf("%s: %w", kind, noEOF(err))
	}
	return n, nil
}

func reader(src *bufio.Reader, kind Kind, limit int64) (r io.Reader, done func(), err error) {
	done = func() {}
	switch kind {
	case None:
		r = src
	case Gzip:
		var z *gzip.Reader
		if z, err = gzip.NewReader(src); err == nil {
			// A bzImage's payload may be followed by padding; one member is all.
			z.Multistream(false)
			r = z
		}
	case Bzip2:
		r = bzip2.NewReader(src)
	case LZMA:
		r, err = newLZMA(src, limit)
	case XZ:
		r, err = newXZ(src, limit)
	case LZO:
		r, err = newLZOP(src)
	case LZ4:
		r, err = newLZ4(src)
	case Zstd:
		var z *zstd.Decoder
		// Kernels are packed with windows of 128 MiB (zstd -22), also small ones, so
		// the memory allowed must not be less than that. To counts what comes out.
		const window = 128 << 20
		z, err = zstd.NewReader(src, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(max(uint64(limit)+1, window)), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err == nil {
			r, done = z, z.Close
		}
	default:
		err = fmt.Errorf("%w: no such compression", ErrFeature)
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
