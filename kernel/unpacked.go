package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/compression"
	"github.com/mayfly-vm/mayfly/internal/sha256"
)

// unpack puts the unpacked payload in the place of im.File: from the cache if it
// is there, else into it, else into memory. It returns the ELF file's first bytes.
func (im *Image) unpack(p packed, st *unix.Stat_t, o Options) ([]byte, error) {
	c, err := cacheAt(o.CacheDir)
	if err != nil {
		return nil, err
	}
	defer c.close()
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
				head, err = headOrClose(f)
			}
			var full *compression.WriteError
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
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) == nil {
		im.stamp = stampOf(&st)
	}
}

func (p packed) section(f *os.File) *io.SectionReader {
	return io.NewSectionReader(f, int64(p.off), int64(p.size))
}

func headOf(f *os.File) ([]byte, error) {
	head := make([]byte, 4096)
	n, err := readAt(f, head, 0)
	return head[:n], err
}

// headOrClose is headOf, and closes a file that cannot be read.
func headOrClose(f *os.File) ([]byte, error) {
	head, err := headOf(f)
	if err != nil {
		f.Close()
	}
	return head, err
}

// fill unpacks into a file of the cache, complete and on disk before it gets
// its name: who sees the name sees all of it, also after a crash.
func (im *Image) fill(c *cache, k key, p packed) (*os.File, uint64, error) {
	tmp, err := c.temp()
	if err != nil {
		return nil, 0, &compression.WriteError{Err: err}
	}
	defer func() {
		if tmp != nil {
			c.remove(tmp.Name())
			tmp.Close()
		}
	}()
	size, err := im.write(tmp, k, p)
	if err != nil {
		return nil, 0, err
	}
	f, err := c.commit(tmp, k)
	if err != nil {
		return nil, 0, &compression.WriteError{Err: err}
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
	n, err := unpacker(p.kind)(f, src, p.kind, int64(limit))
	if err != nil {
		return 0, unpackError(err, p.kind, limit)
	}
	if p.exact != 0 && uint64(n) != p.exact {
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

// unpacker is what unpacks the kind: what this process links, else another
// process.
func unpacker(kind compression.Kind) compression.Unpacker {
	if kind == compression.None {
		return asItIs
	}
	if u := compression.Registered(); u != nil {
		return u
	}
	return unpackByProgram
}

// asItIs is the unpacker of what isn't packed.
func asItIs(dst *os.File, src io.Reader, _ compression.Kind, limit int64) (int64, error) {
	sink := compression.NewSink(dst)
	n, err := io.Copy(sink, io.LimitReader(src, limit+1))
	if err == nil && n > limit {
		err = compression.ErrLimit
	}
	if err != nil {
		return 0, err
	}
	return sink.Finish()
}

// unpackError says what an unpacker's error means for the user. Those of the file
// that is written come through as *compression.WriteError.
func unpackError(err error, kind compression.Kind, limit uint64) error {
	var full *compression.WriteError
	var foreign *compression.ForeignError
	var fe *FileError
	switch {
	case errors.As(err, &full):
		return full
	case errors.As(err, &foreign):
		return notInside(foreign.Head)
	case errors.As(err, &fe):
		return fe // the packed data is not to blame
	case errors.Is(err, compression.ErrLimit):
		return bad(ErrTooLarge, doCopyAgain, "has a %s payload that unpacks to more than the %d bytes allowed for it", kind, limit)
	}
	return &FileError{Cause: ErrPayload, Found: "has a payload that cannot be unpacked", Err: err, Do: doCopyAgain}
}

func errChanged() error {
	return bad(ErrPayload, "leave the file alone while it is started", "changed while it was read")
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
