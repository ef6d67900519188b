package unpack

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"io"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

// The container of the lzop program, version 1.0x, big-endian: magic, header
// with a checksum, then blocks:
//
//	u32 unpacked size (0: the end), u32 packed size (the same: stored),
//	checksums as the header's flags say, data

const (
	lzopMaxBlock = 64 << 20

	lzopAdlerOut  = 1 << 0 // checksum of a block's unpacked data
	lzopAdlerIn   = 1 << 1 // checksum of its packed data, if it isn't stored
	lzopExtra     = 1 << 6
	lzopCRCOut    = 1 << 8
	lzopCRCIn     = 1 << 9
	lzopMultipart = 1 << 10
	lzopFilter    = 1 << 11
	lzopCRCHeader = 1 << 12
)

type lzopReader struct {
	src     *bufio.Reader
	flags   uint32
	in, out []byte
	rest    []byte
}

func newLZOP(src *bufio.Reader) (io.Reader, error) {
	z := &lzopReader{src: src}
	return z, z.header()
}

func (z *lzopReader) header() error {
	var magic [len(compression.MagicLZO)]byte
	if _, err := io.ReadFull(z.src, magic[:]); err != nil {
		return err
	}
	if string(magic[:]) != compression.MagicLZO {
		return fmt.Errorf("%w: lzop magic", compression.ErrCorrupt)
	}
	var h []byte // what the header's checksum covers
	take := func(n int) ([]byte, error) {
		at := len(h)
		h = append(h, make([]byte, n)...)
		_, err := io.ReadFull(z.src, h[at:])
		return h[at:], noEOF(err)
	}
	v, err := take(4) // version, library's version
	if err != nil {
		return err
	}
	version := binary.BigEndian.Uint16(v)
	fixed := 1 + 4 + 4 + 4 // method, flags, mode, time
	if version >= 0x940 {
		fixed += 2 + 1 + 4 // version needed, level, high half of the time
	}
	b, err := take(fixed)
	if err != nil {
		return err
	}
	if version >= 0x940 {
		if need := binary.BigEndian.Uint16(b); need > 0x1040 {
			return fmt.Errorf("%w: needs lzop version %#x", compression.ErrFeature, need)
		}
		b = append([]byte{b[2]}, b[4:]...)
	}
	if b[0] < 1 || b[0] > 3 {
		return fmt.Errorf("%w: lzop method %d", compression.ErrFeature, b[0])
	}
	z.flags = binary.BigEndian.Uint32(b[1:])
	if z.flags&(lzopFilter|lzopMultipart) != 0 {
		return fmt.Errorf("%w: lzop flags %#x", compression.ErrFeature, z.flags)
	}
	name, err := take(1)
	if err == nil {
		_, err = take(int(name[0]))
	}
	if err != nil {
		return err
	}
	sum := adler32.Checksum(h)
	if z.flags&lzopCRCHeader != 0 {
		sum = crc32.ChecksumIEEE(h)
	}
	if want, err := z.uint32(); err != nil {
		return err
	} else if want != sum {
		return fmt.Errorf("%w: lzop header checksum", compression.ErrCorrupt)
	}
	if z.flags&lzopExtra == 0 {
		return nil
	}
	n, err := z.uint32()
	if err == nil {
		_, err = io.CopyN(io.Discard, z.src, int64(n)+4)
	}
	return err
}

func (z *lzopReader) Read(p []byte) (int, error) {
	for len(z.rest) == 0 {
		if err := z.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, z.rest)
	z.rest = z.rest[n:]
	return n, nil
}

// next unpacks the next block into z.rest.
func (z *lzopReader) next() error {
	unpacked, err := z.uint32()
	if err != nil {
		return err
	}
	if unpacked == 0 {
		return io.EOF
	}
	packed, err := z.uint32()
	if err != nil {
		return err
	}
	if unpacked > lzopMaxBlock || packed > unpacked || packed == 0 {
		return fmt.Errorf("%w: lzop block of %d bytes in %d", compression.ErrCorrupt, unpacked, packed)
	}
	adlerOut, crcOut, err := z.sums(lzopAdlerOut, lzopCRCOut)
	if err != nil {
		return err
	}
	adlerIn, crcIn := adlerOut, crcOut
	if packed < unpacked {
		if adlerIn, crcIn, err = z.sums(lzopAdlerIn, lzopCRCIn); err != nil {
			return err
		}
	}
	if z.in, err = readSized(z.src, z.in, int(packed)); err != nil {
		return err
	}
	if packed == unpacked {
		z.rest = z.in
	} else {
		if err := z.verify(z.in, lzopAdlerIn, adlerIn, lzopCRCIn, crcIn); err != nil {
			return err
		}
		// A packed byte makes at most 255 bytes and a few more, so a block that claims
		// more than its data can give costs no memory.
		if int64(unpacked) > int64(packed)*300+300 {
			return fmt.Errorf("%w: lzop block of %d bytes in %d", compression.ErrCorrupt, unpacked, packed)
		}
		if cap(z.out) < int(unpacked) {
			z.out = make([]byte, unpacked)
		}
		n, err := lzoDecode(z.out[:unpacked], z.in)
		if err != nil {
			return err
		}
		if n != int(unpacked) {
			return fmt.Errorf("%w: lzop block of %d bytes, expected %d", compression.ErrCorrupt, n, unpacked)
		}
		z.rest = z.out[:n]
	}
	return z.verify(z.rest, lzopAdlerOut, adlerOut, lzopCRCOut, crcOut)
}

// sums reads the checksums that the flags announce.
func (z *lzopReader) sums(adlerFlag, crcFlag uint32) (adler, crc uint32, err error) {
	if z.flags&adlerFlag != 0 {
		if adler, err = z.uint32(); err != nil {
			return
		}
	}
	if z.flags&crcFlag != 0 {
		crc, err = z.uint32()
	}
	return
}

func (z *lzopReader) verify(b []byte, adlerFlag, adler, crcFlag, crc uint32) error {
	if z.flags&adlerFlag != 0 && adler32.Checksum(b) != adler || z.flags&crcFlag != 0 && crc32.ChecksumIEEE(b) != crc {
		return fmt.Errorf("%w: lzop block checksum", compression.ErrCorrupt)
	}
	return nil
}

func (z *lzopReader) uint32() (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(z.src, b[:])
	return binary.BigEndian.Uint32(b[:]), noEOF(err)
}
