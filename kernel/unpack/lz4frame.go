package unpack

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

// LZ4's frame (lz4_Frame_format.md, version 1), which the lz4 program writes by
// default. Little-endian:
//
//	0  4  magic
//	4  1  FLG: version 01, independent blocks, block checksums, content size, content checksum, 0, dictionary
//	5  1  BD: 0, maximum size of a block (4 to 7: 64 KiB to 4 MiB), 0
//	6  8  content size, if FLG says so
//	      then a byte of the header's checksum; blocks: u32 size, its top bit for one
//	      that is stored, the data, and a checksum if FLG says so; u32 0; the
//	      content's checksum if FLG says so. Checksums are XXH32.
const (
	flgVersion         = 0xc0
	flgVersion1        = 0x40
	flgIndependent     = 0x20
	flgBlockChecksum   = 0x10
	flgContentSize     = 0x08
	flgContentChecksum = 0x04
	flgReserved        = 0x02
	flgDictionary      = 0x01

	lz4Stored = 1 << 31
	// lz4Window is how far back a match may reach.
	lz4Window = 64 << 10
)

type lz4FrameReader struct {
	src    io.Reader
	flags  byte
	most   int    // bytes of a block
	in     []byte // of a packed block
	out    []byte // what matches may reach, then a block
	kept   int    // bytes of out that were read before
	rest   []byte // of out, not yet read
	sum    xxh32
	size   uint64 // of the content, by the header
	total  uint64
	hasEnd bool
}

// newLZ4Frame reads a frame's header; its magic has been read.
func newLZ4Frame(src io.Reader) (io.Reader, error) {
	var h [11]byte // FLG, BD, content size, checksum
	if _, err := io.ReadFull(src, h[:2]); err != nil {
		return nil, noEOF(err)
	}
	n := 2
	z := &lz4FrameReader{src: src, flags: h[0]}
	if z.flags&flgContentSize != 0 {
		n += 8
	}
	if _, err := io.ReadFull(src, h[2:n+1]); err != nil {
		return nil, noEOF(err)
	}
	if byte(xxh32Of(h[:n])>>8) != h[n] {
		return nil, fmt.Errorf("%w: checksum of the frame's header", compression.ErrCorrupt)
	}
	if z.flags&flgVersion != flgVersion1 || z.flags&(flgReserved|flgDictionary) != 0 {
		return nil, fmt.Errorf("%w: frame flags %#02x", compression.ErrFeature, z.flags)
	}
	kind := h[1] >> 4 & 7
	if h[1]&0x8f != 0 || kind < 4 {
		return nil, fmt.Errorf("%w: block sizes %#02x", compression.ErrFeature, h[1])
	}
	z.most = 1 << (8 + 2*kind)
	if z.flags&flgContentSize != 0 {
		z.size = binary.LittleEndian.Uint64(h[2:])
	}
	z.sum.reset()
	return z, nil
}

func (z *lz4FrameReader) Read(p []byte) (int, error) {
	for len(z.rest) == 0 {
		if z.hasEnd {
			return 0, io.EOF
		}
		if err := z.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, z.rest)
	z.rest = z.rest[n:]
	return n, nil
}

func (z *lz4FrameReader) word() (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(z.src, b[:])
	return binary.LittleEndian.Uint32(b[:]), noEOF(err)
}

// next unpacks a block, or reads the end.
func (z *lz4FrameReader) next() error {
	head, err := z.word()
	if err != nil {
		return err
	}
	if head == 0 {
		z.hasEnd = true
		return z.end()
	}
	n := int(head &^ lz4Stored)
	if n == 0 || n > z.most {
		return fmt.Errorf("%w: block of %d bytes", compression.ErrCorrupt, n)
	}
	if z.in, err = readSized(z.src, z.in, n); err != nil {
		return err
	}
	if z.flags&flgBlockChecksum != 0 {
		sum, err := z.word()
		if err != nil {
			return err
		}
		if sum != xxh32Of(z.in) {
			return fmt.Errorf("%w: checksum of a block", compression.ErrCorrupt)
		}
	}
	if z.out == nil {
		z.out = make([]byte, lz4Window+z.most)
	}
	z.slide()
	end := z.kept
	if head&lz4Stored != 0 {
		end += copy(z.out[end:], z.in)
	} else if end, err = lz4DecodeAfter(z.out[:z.kept+z.most], z.kept, z.in); err != nil {
		return err
	}
	z.rest = z.out[z.kept:end]
	z.kept = end
	z.total += uint64(len(z.rest))
	if z.flags&flgContentChecksum != 0 {
		z.sum.write(z.rest)
	}
	return nil
}

// slide makes room for a block after what its matches may reach.
func (z *lz4FrameReader) slide() {
	if z.flags&flgIndependent != 0 {
		z.kept = 0
	}
	if z.kept > lz4Window {
		z.kept = copy(z.out, z.out[z.kept-lz4Window:z.kept])
	}
}

func (z *lz4FrameReader) end() error {
	if z.flags&flgContentSize != 0 && z.size != z.total {
		return fmt.Errorf("%w: %d bytes, the header says %d", compression.ErrCorrupt, z.total, z.size)
	}
	if z.flags&flgContentChecksum == 0 {
		return nil
	}
	sum, err := z.word()
	if err == nil && sum != z.sum.value() {
		err = fmt.Errorf("%w: checksum", compression.ErrCorrupt)
	}
	return err
}
