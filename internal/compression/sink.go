package compression

import (
	"bytes"
	"os"
)

// sinkChunk is how much a Sink gathers before it writes.
const sinkChunk = 256 << 10

// headSize is how much of something that is no ELF file is kept for judging it.
const headSize = 4096

// Sink writes an unpacked ELF file sparsely: pages of zeroes are left out. It
// refuses what doesn't begin as an ELF file at once, before a bomb can unfold.
type Sink struct {
	f   *os.File
	buf []byte
	off int64 // of buf in the file
}

// NewSink writes to f from its start; f is empty and regular, or a memfd.
func NewSink(f *os.File) *Sink { return &Sink{f: f, buf: make([]byte, 0, sinkChunk)} }

// WriteError is one of the file that is written, such as a full disk: the packed
// data is not to blame.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *WriteError) Unwrap() error { return e.Err }

// ForeignError says that what was packed is no ELF file.
type ForeignError struct{ Head []byte } // its first bytes, up to 4096

func (e *ForeignError) Error() string { return "holds no ELF file" }

// Write implements io.Writer. Its errors are *WriteError and *ForeignError.
func (s *Sink) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), sinkChunk-len(s.buf))
		s.buf, p = append(s.buf, p[:n]...), p[n:]
		if len(s.buf) == sinkChunk {
			if err := s.flush(); err != nil {
				return 0, err
			}
		}
	}
	return total, nil
}

func (s *Sink) flush() error {
	if s.off == 0 && !bytes.HasPrefix(s.buf, []byte("\x7fELF")) {
		return &ForeignError{bytes.Clone(s.buf[:min(len(s.buf), headSize)])}
	}
	const page = 4096
	var zero [page]byte
	for at := 0; at < len(s.buf); {
		end := at
		for end < len(s.buf) && !bytes.Equal(s.buf[end:min(end+page, len(s.buf))], zero[:min(page, len(s.buf)-end)]) {
			end += page
		}
		end = min(end, len(s.buf))
		if end > at {
			if _, err := s.f.WriteAt(s.buf[at:end], s.off+int64(at)); err != nil {
				return &WriteError{err}
			}
		}
		at = end + page
		if end == len(s.buf) {
			break
		}
	}
	s.off += int64(len(s.buf))
	s.buf = s.buf[:0]
	return nil
}

// Finish writes what is left, sets the file's length and returns it.
func (s *Sink) Finish() (int64, error) {
	if len(s.buf) > 0 || s.off == 0 {
		if err := s.flush(); err != nil {
			return 0, err
		}
	}
	if err := s.f.Truncate(s.off); err != nil {
		return 0, &WriteError{err}
	}
	return s.off, nil
}
