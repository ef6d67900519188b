package unpack

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

// xz container (The .xz File Format 1.2): stream header, blocks, index, footer.
// The LZMA2 inside is the library's work; the container is ours because kernels
// are packed through the x86 branch filter, which the library doesn't know.

const (
	xzFilterLZMA2 = 0x21
	xzFilterX86   = 0x04
)

// xzReader reads one stream's blocks.
type xzReader struct {
	src   *counter
	limit int64
	check byte // 0 none, 1 CRC32, 4 CRC64, 10 SHA-256

	block   io.Reader // unpacked data of the current block; nil: between blocks
	sum     hash.Hash
	packed  int64 // src.n where the block's data began
	out     int64
	sizes   [2]uint64 // packed and unpacked size that the header names; none: ^0
	records int
	done    bool
}

// counter counts what is read through it, which the alignment of blocks needs.
type counter struct {
	r *bufio.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte keeps the LZMA decoder from reading ahead.
func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func newXZ(src *bufio.Reader, limit int64) (io.Reader, error) {
	x := &xzReader{src: &counter{r: src}, limit: limit}
	var h [12]byte
	if _, err := io.ReadFull(x.src, h[:]); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(h[6:8]) != binary.LittleEndian.Uint32(h[8:]) || string(h[:6]) != compression.MagicXZ {
		return nil, fmt.Errorf("%w: stream header", compression.ErrCorrupt)
	}
	x.check = h[7]
	if h[6] != 0 || x.check&0xf0 != 0 {
		return nil, fmt.Errorf("%w: stream flags %#x", compression.ErrFeature, h[6:8])
	}
	switch x.check {
	case 0, 1, 4, 10:
	default:
		return nil, fmt.Errorf("%w: check %d", compression.ErrFeature, x.check)
	}
	return x, nil
}

func (x *xzReader) Read(p []byte) (int, error) {
	for {
		if x.done {
			return 0, io.EOF
		}
		if x.block == nil {
			if err := x.nextBlock(); err != nil {
				return 0, noEOF(err)
			}
			continue
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
		x.out += int64(n)
		if err == io.EOF {
			if err = x.endBlock(); err != nil {
				return n, noEOF(err)
			}
		} else if err != nil {
			return n, fmt.Errorf("%w: %w", compression.ErrCorrupt, noEOF(err))
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
}

// nextBlock reads a block header (section 3.1), or the index that ends the blocks.
func (x *xzReader) nextBlock() error {
	size, err := x.src.ReadByte()
	if err != nil {
		return err
	}
	if size == 0 {
		x.done = true
		return x.index()
	}
	h := make([]byte, (int(size)+1)*4)
	h[0] = size
	if _, err := io.ReadFull(x.src, h[1:]); err != nil {
		return err
	}
	body, sum := h[:len(h)-4], h[len(h)-4:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return fmt.Errorf("%w: block header checksum", compression.ErrCorrupt)
	}
	flags, r := body[1], bytes.NewReader(body[2:])
	if flags&0x3c != 0 {
		return fmt.Errorf("%w: block flags %#x", compression.ErrFeature, flags)
	}
	x.sizes = [2]uint64{^uint64(0), ^uint64(0)}
	for i, bit := range []byte{0x40, 0x80} {
		if flags&bit != 0 {
			if x.sizes[i], err = xzNumber(r); err != nil {
				return err
			}
		}
	}
	return x.filters(int(flags&3)+1, r)
}

// filters reads the filter list, which ends in LZMA2, and builds the chain.
func (x *xzReader) filters(count int, r *bytes.Reader) error {
	branch := false
	for i := range count {
		id, err := xzNumber(r)
		if err != nil {
			return err
		}
		n, err := xzNumber(r)
		if err != nil {
			return err
		}
		if n > uint64(r.Len()) {
			return fmt.Errorf("%w: filter properties of %d bytes", compression.ErrCorrupt, n)
		}
		props := make([]byte, n)
		r.Read(props)
		last := i == count-1
		switch {
		case id == xzFilterX86 && !last && !branch && n == 0:
			branch = true
		case id == xzFilterLZMA2 && last && n == 1 && props[0] <= 40:
			if err := x.open(props[0], branch); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: filter %#x as number %d of %d with %d bytes of properties", compression.ErrFeature, id, i+1, count, n)
		}
	}
	for r.Len() > 0 {
		if b, _ := r.ReadByte(); b != 0 {
			return fmt.Errorf("%w: block header padding", compression.ErrCorrupt)
		}
	}
	return nil
}

func (x *xzReader) open(dictBits byte, branch bool) error {
	dict := int64(1<<32 - 1)
	if dictBits < 40 { // 2 or 3 times a power of two (section 5.3.1)
		dict = (2 | int64(dictBits&1)) << (dictBits/2 + 11)
	}
	x.packed, x.out = x.src.n, 0
	z, err := lzma.Reader2Config{DictCap: int(min(dict, dictCap(x.limit)))}.NewReader2(x.src)
	if err != nil {
		return fmt.Errorf("%w: %w", compression.ErrCorrupt, err)
	}
	x.block = z
	if branch {
		x.block = &x86Filter{r: z}
	}
	switch x.check {
	case 1:
		x.sum = crc32.NewIEEE()
	case 4:
		x.sum = crc64.New(crc64.MakeTable(crc64.ECMA))
	case 10:
		x.sum = sha256.New()
	}
	return nil
}

// endBlock reads padding and check.
func (x *xzReader) endBlock() error {
	x.block = nil
	packed := x.src.n - x.packed
	if x.sizes[0] != ^uint64(0) && x.sizes[0] != uint64(packed) || x.sizes[1] != ^uint64(0) && x.sizes[1] != uint64(x.out) {
		return fmt.Errorf("%w: block sizes", compression.ErrCorrupt)
	}
	x.records++
	for ; packed%4 != 0; packed++ {
		if b, err := x.src.ReadByte(); err != nil {
			return err
		} else if b != 0 {
			return fmt.Errorf("%w: block padding", compression.ErrCorrupt)
		}
	}
	if x.sum == nil {
		return nil
	}
	want := make([]byte, x.sum.Size())
	if _, err := io.ReadFull(x.src, want); err != nil {
		return err
	}
	got := x.sum.Sum(nil)
	if x.check != 10 { // hash/crc* write big-endian, the format is little-endian
		for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
			got[i], got[j] = got[j], got[i]
		}
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: checksum of the unpacked data", compression.ErrCorrupt)
	}
	return nil
}

// index reads as much of the index as shows that no block is missing.
func (x *xzReader) index() error {
	n, err := xzNumber(x.src)
	if err != nil {
		return err
	}
	if n != uint64(x.records) {
		return fmt.Errorf("%w: index of %d blocks after %d", compression.ErrCorrupt, n, x.records)
	}
	return nil
}

// xzNumber reads a multibyte integer (section 1.2): 7 bits a byte, 63 in all.
func xzNumber(r io.ByteReader) (uint64, error) {
	var v uint64
	for i := range 9 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, noEOF(err)
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b&0x80 == 0 {
			if b == 0 && i > 0 {
				break
			}
			return v, nil
		}
	}
	return 0, fmt.Errorf("%w: number", compression.ErrCorrupt)
}
