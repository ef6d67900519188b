package kernel

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/kernel/unpack"
)

// unpack puts the unpacked payload in the place of im.File: from the cache if it
// is there, else into it, else into memory. It returns the ELF file's first bytes.
func (im *Image) unpack(p packed, st *unix.Stat_t, o Options) ([]byte, error) {
	c := cacheAt(o.CacheDir)
	if f, size, head := c.lookup(st, p); f != nil {
		im.adopt(f, size)
		return head, nil
	}
	began := time.Now()
	sum := sha256.New()
	if _, err := io.Copy(sum, p.section(im.File)); err != nil {
		return nil, err
	}
	k := key(sum.Sum(nil))
	if c.prepare() == nil {
		defer c.lock(k)()
		f, size, head := c.content(k, p.exact)
		if f == nil {
			var err error
			f, size, err = im.fill(c, k, p)
			if err == nil {
				head, err = headOf(f)
			}
			var full *sinkError
			if err != nil && !errors.As(err, &full) {
				return nil, err
			}
			if err != nil {
				f = nil // the disk is full or forbids it: memory does as well
			}
		}
		if f != nil {
			c.remember(im.File, st, p, k, size, head, began)
			im.adopt(f, size)
			return head, nil
		}
	}
	f, size, err := im.intoMemory(p, k)
	if err != nil {
		return nil, err
	}
	im.adopt(f, size)
	return headOf(f)
}

func (im *Image) adopt(f *os.File, size uint64) {
	im.File.Close()
	im.File, im.Size = f, size
}

func (p packed) section(f *os.File) *io.SectionReader {
	return io.NewSectionReader(f, int64(p.off), int64(p.size))
}

func headOf(f *os.File) ([]byte, error) {
	head := make([]byte, 4096)
	n, err := readAt(f, head, 0)
	return head[:n], err
}

// fill unpacks into a file of the cache, complete and on disk before it gets
// its name: who sees the name sees all of it, also after a crash.
func (im *Image) fill(c *cache, k key, p packed) (*os.File, uint64, error) {
	tmp, err := c.temp()
	if err != nil {
		return nil, 0, &sinkError{err}
	}
	defer func() {
		if tmp != nil {
			os.Remove(tmp.Name())
			tmp.Close()
		}
	}()
	size, err := im.write(tmp, k, p)
	if err != nil {
		return nil, 0, err
	}
	f, err := c.commit(tmp, k)
	if err != nil {
		return nil, 0, &sinkError{err}
	}
	tmp.Close()
	tmp = nil
	return f, size, nil
}

// intoMemory unpacks into an anonymous file, sealed so that nobody can cut it
// short under the guest.
func (im *Image) intoMemory(p packed, k key) (*os.File, uint64, error) {
	fd, err := unix.MemfdCreate("mayfly-kernel", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, 0, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), im.Path)
	size, err := im.write(f, k, p)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// write unpacks p into f and checks that it read what k was made of.
func (im *Image) write(f *os.File, k key, p packed) (uint64, error) {
	limit := p.limit
	if p.exact != 0 {
		limit = min(limit, p.exact)
	}
	sum := sha256.New()
	src := io.TeeReader(p.section(im.File), sum)
	out := &sink{f: f, buf: make([]byte, 0, sinkChunk)}
	n, err := unpack.To(out, src, p.kind, int64(limit))
	if err == nil {
		err = out.finish()
	}
	var full *sinkError
	var fe *FileError
	switch {
	case errors.As(err, &full):
		return 0, full
	case errors.As(err, &fe):
		return 0, fe // what is inside is no ELF file
	case errors.Is(err, unpack.ErrLimit):
		return 0, bad(ErrTooLarge, doCopyAgain, "has a %s payload that unpacks to more than the %d bytes allowed for it", p.kind, limit)
	case err != nil:
		return 0, &FileError{Cause: ErrPayload, Found: "has a payload that cannot be unpacked", Err: err, Do: doCopyAgain}
	case p.exact != 0 && uint64(n) != p.exact:
		return 0, bad(ErrPayload, doCopyAgain, "has a %s payload of %d bytes when unpacked, its end says %d", p.kind, n, p.exact)
	}
	if _, err := io.Copy(io.Discard, src); err != nil {
		return 0, err
	}
	if !bytes.Equal(sum.Sum(nil), k) {
		return 0, errChanged()
	}
	return uint64(n), nil
}

func errChanged() error {
	return bad(ErrPayload, "leave the file alone while it is started", "changed while it was read")
}

// sinkError is one of where the unpacked kernel goes to.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }
func (e *sinkError) Unwrap() error { return e.err }

const sinkChunk = 256 << 10

// sink writes a sparse file: pages of zeroes are left out. It refuses what
// doesn't begin as an ELF file at once, before a bomb can unfold.
type sink struct {
	f   *os.File
	buf []byte
	off int64 // of buf in the file
}

func (s *sink) Write(p []byte) (int, error) {
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

func (s *sink) flush() error {
	if s.off == 0 && !bytes.HasPrefix(s.buf, []byte("\x7fELF")) {
		return notInside(s.buf)
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
				return &sinkError{err}
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

func (s *sink) finish() error {
	if len(s.buf) > 0 || s.off == 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if err := s.f.Truncate(s.off); err != nil {
		return &sinkError{err}
	}
	return nil
}

// notInside says what is packed in a file if it is no ELF file.
func notInside(b []byte) error {
	if identify(b) == FormatBzImage {
		return bad(ErrNotKernel, "unpack it once and give the bzImage", "is a compressed bzImage")
	}
	if len(b) == 0 {
		return bad(ErrNotKernel, doGetKernel, "is compressed and holds nothing")
	}
	err := notKernel(b[:min(len(b), 4096)], 1<<30).(*FileError)
	err.Found = "is compressed, and what it holds " + err.Found
	return err
}
