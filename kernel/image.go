package kernel

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/pvh"
)

// Image is a kernel ready to be loaded into guest memory. Its slices are not to be
// changed.
type Image struct {
	// File is the uncompressed ELF, open for reading: the user's own file or the
	// copy that was unpacked from it. Close closes it.
	File *os.File
	// Path is what the user gave. File may be another file.
	Path string
	// Size is File's length in bytes when it was opened.
	Size uint64

	Class   int     // 32 or 64
	Machine Machine // e_machine
	Entry   uint64  // e_entry
	// Segments are the PT_LOAD entries that take memory, by ascending Paddr.
	Segments []Segment
	// Text are the file ranges of sections with code (SHF_EXECINSTR), ascending and
	// merged where they touch. Empty if the file has no section headers.
	Text []FileRange
	// Zeroes are longer file ranges within segments that hold nothing but zeroes, as
	// the section headers say, ascending: BSS followed by contents. They need not
	// be read. Empty if the file has no section headers.
	Zeroes []FileRange

	PVH   *uint64        // note 18: the guest-physical PVH entry; nil: none
	Reloc *pvh.RelocNote // note 19: limits for another place; nil: none
	// Linux says that the ELF entry is that of the Linux 64-bit boot protocol: an
	// x86-64 Linux, entered at a physical address.
	Linux bool

	Format      Format // of the file at Path
	Compression string // gzip, bzip2, lzma, xz, lzo, lz4, zstd, none or "" (not packed)
	// SetupHeader is a bzImage's setup header from file offset 0x1f1 to its end
	// (Documentation/arch/x86/boot.rst); nil for others.
	SetupHeader []byte

	notes      []noteInfo
	noteBytes  uint64 // read so far, at most maxNoteBytes
	foreign    string
	guestOS    string // of Xen's note GUEST_OS
	version    string
	versionHas bool
	reloPad    uint64 // largest p_align of a PT_LOAD
	stamp      stamp  // of File
}

// Segment is a PT_LOAD program header. Offsets and sizes are in bytes.
type Segment struct {
	Offset, Filesz uint64 // in Image.File
	Paddr, Memsz   uint64 // guest-physical; bytes after Filesz are zero
	Vaddr, Align   uint64
	Flags          Flags
}

// Flags are a segment's p_flags.
type Flags uint32

// Flags of a segment (gABI, "Segment Permissions").
const (
	Exec  Flags = 1
	Write Flags = 2
	Read  Flags = 4
)

// Executable reports whether the segment has code.
func (s *Segment) Executable() bool { return s.Flags&Exec != 0 }

// Writable reports whether the guest writes to the segment by design.
func (s *Segment) Writable() bool { return s.Flags&Write != 0 }

// Mappable reports whether the segment's file pages can be mapped at Paddr+delta:
// file offset and address agree modulo pageSize, a power of two.
func (s *Segment) Mappable(delta int64, pageSize uint64) bool {
	return (s.Paddr+uint64(delta)-s.Offset)%pageSize == 0
}

// FileRange is a run of bytes of Image.File.
type FileRange struct{ Offset, Size uint64 }

// Options are what Open needs besides the path.
type Options struct {
	// CacheDir holds the unpacked kernels. Empty: mayfly/kernels in the user's cache
	// directory. Where it can't be written, unpacked kernels live in memory only.
	CacheDir string
}

// Open reads the file at path, unpacks it if it must and checks it. The caller
// closes the image when the guest has no mapping of it left.
func Open(path string, o Options) (*Image, error) {
	f, st, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	im := &Image{File: f, Path: path, Size: uint64(st.Size), stamp: stampOf(st)}
	if err := im.load(st, o); err != nil {
		im.Close()
		var fe *FileError
		if errors.As(err, &fe) && fe.Path == "" {
			fe.Path = path
			return nil, err
		}
		if fe == nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return nil, err
	}
	return im, nil
}

// Close closes the file.
func (im *Image) Close() error { return im.File.Close() }

// Changed says what has happened to File's content since it was opened; "":
// nothing that shows.
func (im *Image) Changed() string { return im.stamp.changed(im.File, im.Path) }

func (im *Image) load(st *unix.Stat_t, o Options) error {
	head := make([]byte, 4096)
	n, err := readAt(im.File, head, 0)
	if err != nil {
		return err
	}
	head = head[:n]
	switch im.Format = identify(head); im.Format {
	case FormatELF:
	case FormatBzImage:
		b, err := parseBzImage(im.File, head, im.Size)
		if err != nil {
			return err
		}
		im.SetupHeader, im.version, im.versionHas, im.Compression = b.header, b.version, b.version != "", string(b.kind)
		if head, err = im.unpack(b.payload, st, o); err != nil {
			return err
		}
	case FormatPacked:
		p := packed{kind: compressionOf(head), size: im.Size, limit: maxUnpacked}
		im.Compression = string(p.kind)
		if head, err = im.unpack(p, st, o); err != nil {
			return err
		}
	default:
		return notKernel(head, im.Size)
	}
	return im.parseELF(head)
}

// Span is the guest-physical range from the lowest segment's start to the end
// of the highest, before any relocation.
func (im *Image) Span() (lo, hi uint64) {
	last := im.Segments[len(im.Segments)-1]
	return im.Segments[0].Paddr, last.Paddr + last.Memsz // sorted and apart
}

// openRegular opens without waiting: a FIFO would else block for its writer.
func openRegular(path string) (*os.File, *unix.Stat_t, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	for err == unix.EINTR {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	}
	if err != nil {
		e := &FileError{Path: path, Cause: err, Found: "cannot open the file: " + err.Error()}
		switch err {
		case unix.EACCES, unix.EPERM:
			e.Do = "make it readable for this user, or copy it: sudo install -m 644 " + path + " ."
		case unix.ENOENT, unix.ENOTDIR:
			e.Do = "check the path"
		}
		return nil, nil, e
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, nil, &FileError{Path: path, Cause: err, Found: "fstat: " + err.Error()}
	}
	what := ""
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if st.Size == 0 {
			what = "is empty"
		}
	case unix.S_IFDIR:
		what = "is a directory"
	case unix.S_IFIFO:
		what = "is a pipe"
	default:
		what = "is a device or socket"
	}
	if what != "" {
		unix.Close(fd)
		return nil, nil, &FileError{Path: path, Cause: ErrNotKernel, Found: what + ", expected a kernel in a regular file", Do: doGetKernel, what: what}
	}
	if err := unix.SetNonblock(fd, false); err != nil { // else os.NewFile tries it on the poller
		unix.Close(fd)
		return nil, nil, &FileError{Path: path, Cause: err, Found: "fcntl: " + err.Error()}
	}
	return os.NewFile(uintptr(fd), path), &st, nil
}
