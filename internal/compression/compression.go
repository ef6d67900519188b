// Package compression is what package kernel and an unpacker agree on: the
// compressions, the errors of a packed stream, and how an unpacker is found.
// It links no decompressor: their tables would cost each start of a program
// that only might meet a packed kernel.
package compression

import (
	"errors"
	"io"
	"os"
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

// Unpacker unpacks the stream src of the given kind into dst, an empty regular
// file or memfd, as a Sink does, and returns the file's new length. Its errors
// are those of this package; more than limit bytes are ErrLimit. src is
// hostile, and what follows the stream in it is ignored.
type Unpacker func(dst *os.File, src io.Reader, kind Kind, limit int64) (int64, error)

var registered Unpacker

// Register makes u the unpacker of this process and returns the one before, nil
// if there was none. It is called by init functions, before any kernel is
// opened.
func Register(u Unpacker) Unpacker {
	before := registered
	registered = u
	return before
}

// Registered is the unpacker that this program links; nil: none.
func Registered() Unpacker { return registered }
