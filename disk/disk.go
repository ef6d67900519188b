// Package disk opens what backs a virtual disk: raw image files, block
// devices, and image formats that are registered (disk/qcow2).
//
// Everything that can be wrong with an image is found by Open, before a machine
// starts: no such file, no permission, a directory, a size of zero, a file that
// another process uses.
package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/enum"
)

// SectorSize is the unit in which disks are counted, in bytes.
const SectorSize = 512

// Format is the format of an image file.
type Format string

// Formats. Auto, the default, is raw, or the format that both the file's name and its first
// bytes show. The first bytes alone are not believed: with a raw image they are
// the guest's to write, and other formats name further files of the host.
const (
	Auto  Format = "auto"
	Raw   Format = "raw"
	QCOW2 Format = "qcow2"
)

// Formats are the values of a Format other than "", which is Auto.
var Formats = []Format{Auto, Raw, QCOW2}

// Check is an error that lists the values, where f is none of them.
func (f Format) Check() error { return enum.Check(f, Formats) }

// Options of Open.
type Options struct {
	Path string
	// File, if not nil, is the image or block device, open: nothing is opened by Path
	// then, which names the image in errors and, where Format is Auto, by its
	// extension; "": File's name does. A qcow2 image's backing files are found by Path
	// alone. File belongs to the image from the call on, also if it fails.
	//
	// It is open for reading, and unless ReadOnly for writing; not with O_APPEND; with
	// O_DIRECT only where Direct is set. With Direct it is opened a second time, through
	// /proc. A block device that others must not mount is for its opener to claim
	// (O_EXCL). The lock is one of the open file: descriptors that were made of it by
	// dup(2) or fork(2) share it.
	File     *os.File
	Format   Format
	ReadOnly bool
	// Direct goes past the host's page cache (O_DIRECT). Raw images only.
	Direct bool
	// Backing is the folder that holds the files which an image is made of besides
	// itself, in it or below; "": regular files of the image's own folder. An image
	// names them itself, so without this bound one could show its guest any file of
	// the host.
	Backing string
	// Allow, if not nil, judges a file before it is opened: by where it is once all
	// links are followed, and whether it is a regular file.
	Allow func(real string, regular bool) error
}

// Image is an open disk image. Its methods may be called by several goroutines.
// Offsets and lengths are in bytes and lie within Size.
type Image interface {
	// Size is a multiple of SectorSize.
	Size() int64
	// Refresh reads the size anew: the image was made larger or smaller.
	Refresh() error
	Blocks() Blocks
	ReadOnly() bool
	// Warning is what people should know about the image, without its path, or "".
	Warning() string
	// File is the file of an image whose bytes lie there as the guest sees
	// them; nil for formats.
	File() *File
	// Readv and Writev transfer as much as they can and return how much. Writev with
	// durable returns when the data would survive a loss of power.
	Readv(v []unix.Iovec, off int64) (int, error)
	Writev(v []unix.Iovec, off int64, durable bool) (int, error)
	// Flush makes durable what was written.
	Flush() error
	// Discard and Zero take as long as the host needs for the range: who must be able
	// to stop in between asks for pieces of it.

	// Discard declares that the range's contents are of no interest; where that can't
	// be used it does nothing.
	Discard(off, n int64) error
	// Zero makes the range read as zeroes; with unmap it need not keep its space.
	Zero(off, n int64, unmap bool) error
	Close() error
}

// Blocks are the sizes that an image likes to be accessed in, in bytes; 0 where
// nothing is known.
type Blocks struct {
	Logical  uint32 // the unit of access: SectorSize or a larger power of two
	Physical uint32 // the unit that is written without being read first
	Minimum  uint32 // preferred least size of an access
	Optimal  uint32 // preferred size
}

// ErrUnsupported is wrapped by errors about formats.
var ErrUnsupported = errors.New("not supported")

// Opener opens an image of a format. The file is open, locked and not shorter
// than the format's magic; it belongs to the image if there is no error.
type Opener func(f *File, o Options) (Image, error)

var openers = map[Format]Opener{}

// Register makes a format known. It is called at init.
func Register(f Format, open Opener) { openers[f] = open }

// Error is what is wrong with an image.
type Error struct {
	Path string
	Err  error
}

// Error is the image's path and what is wrong.
func (e *Error) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap is what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Open opens an image. What it returns for an error is an *Error.
func Open(o Options) (Image, error) {
	img, err := open(o)
	if err != nil {
		return nil, &Error{o.name(), err}
	}
	return img, nil
}

// name is what errors call the image.
func (o *Options) name() string {
	if o.Path == "" && o.File != nil {
		return o.File.Name()
	}
	return o.Path
}

func open(o Options) (Image, error) {
	f, err := OpenFile(o)
	if err != nil {
		return nil, err
	}
	format, err := f.Format(o.Format, o.name())
	if err == nil && format == Raw {
		err = f.check()
		if err == nil {
			return f, nil
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	open := openers[format]
	if open == nil {
		f.Close()
		return nil, fmt.Errorf("a %s image is %w by this program; convert it: qemu-img convert -O raw %s %s", format, ErrUnsupported, o.name(), rawName(o.name()))
	}
	img, err := open(f, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	return img, nil
}

// rawName is a name for a converted image.
func rawName(path string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".raw"
}

// NeedsConversion is the error for an image that can be read but not written.
func NeedsConversion(o Options, f Format) error {
	path := o.name()
	return fmt.Errorf("a %s image can be read but not written: make it read-only, or convert it: qemu-img convert -O raw %s %s", f, path, rawName(path))
}
