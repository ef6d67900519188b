// Package qcow2 lets package disk open qcow2 images, to read: with backing files
// and compressed clusters. It is imported for its effect, by programs that can
// afford what its library links.
//
// Headers and the chain of files are checked here first, against loops, names
// that are no local files, and numbers that would make the library allocate
// without bounds.
package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/lima-vm/go-qcow2reader/image"
	"github.com/lima-vm/go-qcow2reader/image/qcow2"
	"github.com/lima-vm/go-qcow2reader/log"
	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/disk"
)

func init() {
	disk.Register(disk.QCOW2, Open)
	log.SetWarnFunc(nil) // what it warns of is an error here, or harmless
}

// Image is a qcow2 image that can be read. It implements disk.Image.
type Image struct {
	layers []layer
	reader image.Image
	size   int64
}

// Open opens f as an image; o says how.
func Open(f *disk.File, o disk.Options) (disk.Image, error) {
	if !o.ReadOnly {
		return nil, disk.NeedsConversion(o, disk.QCOW2)
	}
	if o.Direct {
		return nil, errors.New("direct: raw images only; leave it out")
	}
	layers, err := chain(f, boundsOf(o))
	if err != nil {
		return nil, err
	}
	img := &Image{layers: layers, size: layers[0].size &^ (disk.SectorSize - 1)}
	if img.reader, err = img.layer(0); err != nil {
		closeAll(layers[1:])
		return nil, err
	}
	return img, nil
}

// layer makes the library's reader of layer i and of those below it.
func (img *Image) layer(i int) (r image.Image, err error) {
	defer guard(&err)
	l := img.layers[i]
	if l.format == disk.Raw {
		return &raw{l.file, l.size}, nil
	}
	q, err := qcow2.Open(source{l.file, l.padded, l.backing}, func(opened io.ReaderAt, _ image.Type) (image.Image, error) {
		// The file that was checked and locked takes the place of the one that the
		// library has opened: see source.
		if c, ok := opened.(io.Closer); ok {
			c.Close()
		}
		if i+1 >= len(img.layers) {
			return &raw{}, errors.New("a backing file that was not there before")
		}
		next, err := img.layer(i + 1)
		if next == nil || err != nil {
			return &raw{}, err // the library closes it even if there is an error
		}
		return next, nil
	})
	if err == nil {
		err = q.Readable()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.file.Path(), err)
	}
	return q, nil
}

// guard makes a panic of the library's an error: what it reads is hostile. Faults
// of the memory that it reads into are another's.
func guard(err *error) {
	r := recover()
	if r == nil {
		return
	}
	if _, ok := r.(interface{ Addr() uintptr }); ok {
		panic(r)
	}
	*err = fmt.Errorf("the image is damaged: %v", r)
}

// Readv reads what the library finds. An error after some bytes is left to the
// next Readv, as with readv(2): the library gives one also with the last bytes of a
// compressed cluster, where there is nothing wrong.
func (img *Image) Readv(v []unix.Iovec, off int64) (n int, err error) {
	defer guard(&err)
	for i := range v {
		p := unsafe.Slice(v[i].Base, v[i].Len)
		m, err := img.reader.ReadAt(p, off+int64(n))
		if err != nil && !errors.Is(err, io.EOF) {
			m = 0 // of a backing file: the library counts zeroes where it could not read
		}
		if n += m; m < len(p) {
			if err == io.EOF || n > 0 {
				err = nil
			}
			return n, err
		}
	}
	return n, nil
}

// Size is the disk's.
func (img *Image) Size() int64 { return img.size }

// Refresh does nothing: an image that is only read keeps its size.
func (img *Image) Refresh() error { return nil }

// Blocks are sectors.
func (img *Image) Blocks() disk.Blocks { return disk.Blocks{Logical: disk.SectorSize} }

// ReadOnly is true.
func (img *Image) ReadOnly() bool { return true }

// Warning is "".
func (img *Image) Warning() string { return "" }

// File is nil: the guest's bytes are nowhere as such.
func (img *Image) File() *disk.File { return nil }

// Writev, Flush, Discard and Zero fail: the image can only be read.
func (img *Image) Writev([]unix.Iovec, int64, bool) (int, error) { return 0, unix.EROFS }

// Flush has nothing to do.
func (img *Image) Flush() error { return nil }

// Discard fails.
func (img *Image) Discard(int64, int64) error { return unix.EROFS }

// Zero fails.
func (img *Image) Zero(int64, int64, bool) error { return unix.EROFS }

// Close closes all files of the chain.
func (img *Image) Close() error {
	closeAll(img.layers)
	return nil
}

// source is a file as the library takes it. It keeps it from being closed.
//
// The library opens a backing file by the name that the image gives, and so would
// wait at a FIFO. It is shown another name, which can always be opened.
type source struct {
	f       *disk.File
	padded  int64 // see header
	renamed bool  // the backing file has standIn's name
}

const (
	standIn   = "/"
	standInAt = 1 << 62 // where the name is read
)

func (s source) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errEnd
	}
	if s.renamed && off == standInAt {
		return copy(p, standIn), nil
	}
	n, err := s.f.ReadAt(p, off)
	if s.renamed && off < 20 {
		var name [12]byte // offset and length, from byte 8 of the header on
		binary.BigEndian.PutUint64(name[:], standInAt)
		binary.BigEndian.PutUint32(name[8:], uint32(len(standIn)))
		for i := max(off, 8); i < min(off+int64(n), 20); i++ {
			p[i-off] = name[i-8]
		}
	}
	if end := off + int64(n); err == io.EOF && end >= s.f.Length() && end < s.padded {
		more := min(int64(len(p)-n), s.padded-end)
		clear(p[n : n+int(more)])
		if n += int(more); n == len(p) {
			err = nil
		}
	}
	if err == io.EOF {
		err = errEnd
	}
	return n, err
}

// errEnd is no io.EOF: that of a backing file the library takes for the end of its
// disk, after which there are zeroes.
var errEnd = errors.New("the image file ends before its data does: was it copied whole?")

// raw is a raw backing file.
type raw struct {
	f    *disk.File // nil: none
	size int64
}

func (r *raw) ReadAt(p []byte, off int64) (int, error) {
	if r.f == nil || off < 0 {
		return 0, io.EOF
	}
	return r.f.ReadAt(p, off)
}

func (r *raw) Close() error     { return nil }
func (r *raw) Size() int64      { return r.size }
func (r *raw) Type() image.Type { return "raw" }
func (r *raw) Readable() error  { return nil }

func (r *raw) Extent(off, n int64) (image.Extent, error) {
	return image.Extent{Start: off, Length: n, Allocated: true}, nil
}
