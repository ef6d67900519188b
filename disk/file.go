package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// File is a file or block device of the host: as such a raw image, and what
// formats are read from.
type File struct {
	path     string
	fd       int // for the guest's data; O_DIRECT if direct
	plain    int // through the page cache: fd itself, or another for what O_DIRECT refuses
	claim    int // a block device's, opened for this process alone
	spare    int // Unlocked's, of a file that was handed over
	handed   bool
	direct   bool
	readOnly bool
	device   bool // a block device
	memory   bool // tmpfs: there is no device to wait for
	size     atomic.Int64
	real     atomic.Int64 // size before it was rounded down
	blocks   Blocks
	nowait   atomic.Bool // preadv2 knows RWF_NOWAIT here
}

// OpenFile opens and locks o.Path, or takes over o.File, without reading it.
func OpenFile(o Options) (*File, error) {
	if o.File != nil {
		return takeFile(o)
	}
	if o.Path == "" {
		return nil, errors.New("the path is empty")
	}
	at, st, err := find(o)
	if err != nil {
		return nil, err
	}
	defer at.close()
	f := &File{path: o.Path, fd: -1, plain: -1, claim: -1, spare: -1, readOnly: o.ReadOnly, direct: o.Direct}
	if err := f.open(at, st, o); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkType(mode uint32) error {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFBLK:
		return nil
	case unix.S_IFDIR:
		return errors.New("is a directory; a disk is an image file or a block device")
	case unix.S_IFCHR:
		return errors.New("is a character device; a disk is an image file or a block device")
	case unix.S_IFIFO:
		return errors.New("is a pipe; a disk is an image file or a block device")
	case unix.S_IFSOCK:
		return errors.New("is a socket; a disk is an image file or a block device")
	}
	return errors.New("is neither an image file nor a block device")
}

func (f *File) open(at place, st unix.Stat_t, o Options) error {
	flags := unix.O_CLOEXEC | unix.O_RDWR
	if o.ReadOnly {
		flags = unix.O_CLOEXEC | unix.O_RDONLY
	}
	var err error
	if f.plain, err = at.open(flags); err != nil {
		return explain(err, o)
	}
	f.fd = f.plain
	f.device = isDevice(st)
	if err := f.lock(); err != nil {
		return err
	}
	if f.device && !f.readOnly {
		// Whoever mounts it or makes it part of another device claims it likewise.
		if f.claim, err = at.open(unix.O_CLOEXEC | unix.O_RDONLY | unix.O_EXCL); err != nil {
			f.claim = -1
			return explain(err, o)
		}
	}
	if f.direct {
		if f.fd, err = at.open(flags | unix.O_DIRECT); err != nil {
			f.fd = f.plain
			return explainDirect(err)
		}
	}
	return f.measure()
}

func isDevice(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFBLK }

func explainDirect(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return errors.New("direct: the file system it is on knows no direct access (O_DIRECT)")
	}
	return fmt.Errorf("direct: %w", err)
}

// measure finds out how the open file is best accessed.
func (f *File) measure() error {
	var vfs unix.Statfs_t
	if !f.device && unix.Fstatfs(f.plain, &vfs) == nil {
		f.memory = vfs.Type == unix.TMPFS_MAGIC || vfs.Type == unix.RAMFS_MAGIC || vfs.Type == unix.HUGETLBFS_MAGIC
	}
	f.blocks = Blocks{Logical: SectorSize}
	if f.device {
		f.askDevice()
	} else if f.direct {
		f.askAlignment()
	}
	f.nowait.Store(!f.direct && !f.memory)
	return f.Refresh()
}

// explain is an error of open(2) for people.
func explain(err error, o Options) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("no such file; an empty disk is made by: truncate -s 10G " + o.Path)
	case errors.Is(err, unix.EROFS):
		return errors.New("lies on a read-only file system; make the disk read-only (readonly)")
	case errors.Is(err, unix.EBUSY):
		return errors.New("is in use by the host (mounted, or part of another device)")
	case errors.Is(err, fs.ErrPermission) && !o.ReadOnly:
		return fmt.Errorf("cannot be opened for writing: %w; make the disk read-only (readonly) or change the file's permissions", err)
	}
	return err
}

// check is what a raw image must have.
func (f *File) check() error {
	switch real := f.real.Load(); {
	case real == 0 && f.device:
		return errors.New("is a block device without a medium (0 bytes)")
	case real == 0:
		return errors.New("is empty (0 bytes); give it a size: truncate -s 10G " + f.path)
	case f.size.Load() == 0:
		return fmt.Errorf("has %d bytes, less than a sector (%d)", real, SectorSize)
	}
	return nil
}

// Refresh reads the size anew.
func (f *File) Refresh() error {
	var size int64
	if f.device {
		n, err := deviceSize(f.plain)
		if err != nil {
			return fmt.Errorf("cannot read the device's size: %w", err)
		}
		size = n
	} else {
		var st unix.Stat_t
		if err := unix.Fstat(f.plain, &st); err != nil {
			return err
		}
		size = st.Size
	}
	f.real.Store(size)
	f.size.Store(size &^ int64(max(f.blocks.Logical, SectorSize)-1))
	return nil
}

// Warning is about bytes at the end that no guest sees.
func (f *File) Warning() string {
	if rest := f.real.Load() - f.size.Load(); rest > 0 {
		return fmt.Sprintf("the size of %d bytes is no multiple of %d; the guest doesn't see the last %d bytes",
			f.real.Load(), max(f.blocks.Logical, SectorSize), rest)
	}
	return ""
}

// Size is the file's size, rounded down to blocks.
func (f *File) Size() int64 { return f.size.Load() }

// Length is the file's size in bytes.
func (f *File) Length() int64 { return f.real.Load() }

// Path is what the file was opened as; "" where it was handed over without one.
func (f *File) Path() string { return f.path }

// Blocks are the device's, or what O_DIRECT wants.
func (f *File) Blocks() Blocks { return f.blocks }

// ReadOnly reports how the file was opened.
func (f *File) ReadOnly() bool { return f.readOnly }

// File is f itself.
func (f *File) File() *File { return f }

// FD is the descriptor for the guest's data. It stays f's own.
func (f *File) FD() int { return f.fd }

// Direct reports whether FD goes past the page cache.
func (f *File) Direct() bool { return f.direct }

// Same reports whether g is the same file.
func (f *File) Same(g *File) bool {
	var a, b unix.Stat_t
	return unix.Fstat(f.plain, &a) == nil && unix.Fstat(g.plain, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}

// Close closes the file and gives up its lock.
func (f *File) Close() error {
	var direct error
	if f.fd >= 0 && f.fd != f.plain {
		direct = unix.Close(f.fd)
	}
	for _, fd := range []int{f.claim, f.spare} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if f.plain < 0 {
		return os.ErrClosed
	}
	err := errors.Join(direct, unix.Close(f.plain))
	f.fd, f.plain, f.claim, f.spare = -1, -1, -1, -1
	return err
}
