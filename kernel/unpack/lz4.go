package unpack

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

// LZ4's legacy frame (lz4_Frame_format.md, "Legacy frame"), in which kernels are
// packed: the magic, then blocks, each a u32 packed size and its data, which
// unpacks to 8 MiB, less in the last one. It has no end mark and no checksum.
// The decoder is ours because the library builds tables at every program start.

const (
	lz4Block = 8 << 20
	// lz4Bound is how large incompressible data may get.
	lz4Bound = lz4Block + lz4Block/255 + 16
)

type lz4Reader struct {
	src      io.Reader
	in, out  []byte
	rest     []byte // of out, not yet read
	finished bool
}

func newLZ4(src io.Reader) (io.Reader, error) {
	var m [4]byte
	if _, err := io.ReadFull(src, m[:]); err != nil {
		return nil, err
	}
	if string(m[:]) == compression.MagicLZ4Frame {
		return newLZ4Frame(src)
	}
	if string(m[:]) != compression.MagicLZ4 {
		return nil, fmt.Errorf("%w: frame magic", compression.ErrCorrupt)
	}
	return &lz4Reader{src: src}, nil
}

func (z *lz4Reader) Read(p []byte) (int, error) {
	for len(z.rest) == 0 {
		if err := z.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, z.rest)
	z.rest = z.rest[n:]
	return n, nil
}

func (z *lz4Reader) next() error {
	var h [4]byte
	if _, err := io.ReadFull(z.src, h[:]); err == io.EOF {
		return io.EOF // the frame ends where the data ends
	} else if err != nil {
		return err
	}
	if string(h[:]) == compression.MagicLZ4 { // frames may follow each other
		return nil
	}
	n := binary.LittleEndian.Uint32(h[:])
	if z.finished || n == 0 || n > lz4Bound {
		return fmt.Errorf("%w: block of %d bytes", compression.ErrCorrupt, n)
	}
	var err error
	if z.in, err = readSized(z.src, z.in, int(n)); err != nil {
		return err
	}
	if z.out == nil {
		z.out = make([]byte, lz4Block)
	}
	got, err := lz4Decode(z.out, z.in)
	if err != nil {
		return err
	}
	z.finished = got < lz4Block
	z.rest = z.out[:got]
	return nil
}

// lz4Decode unpacks one block (lz4_Block_format.md) into dst and returns how
// many bytes it has.
func lz4Decode(dst, src []byte) (int, error) { return lz4DecodeAfter(dst, 0, src) }

// lz4DecodeAfter is lz4Decode for a block whose matches may reach into dst[:d]. It
// unpacks to after that, and returns where it ended.
func lz4DecodeAfter(dst []byte, d int, src []byte) (int, error) {
	s := 0
	for s < len(src) {
		token := src[s]
		s++
		lit, ok := int(token>>4), true
		if lit == 15 {
			if lit, s, ok = lz4Length(src, s, lit); !ok {
				return d, fmt.Errorf("%w: length at %d", compression.ErrCorrupt, s)
			}
		}
		if lit > len(src)-s || lit > len(dst)-d {
			return d, fmt.Errorf("%w: %d literals at %d", compression.ErrCorrupt, lit, s)
		}
		copy(dst[d:], src[s:s+lit])
		d, s = d+lit, s+lit
		if s == len(src) {
			return d, nil // the last sequence is literals only
		}
		if len(src)-s < 2 {
			return d, fmt.Errorf("%w: offset at %d", compression.ErrCorrupt, s)
		}
		dist := int(binary.LittleEndian.Uint16(src[s:]))
		s += 2
		n := int(token & 15)
		if n == 15 {
			if n, s, ok = lz4Length(src, s, n); !ok {
				return d, fmt.Errorf("%w: length at %d", compression.ErrCorrupt, s)
			}
		}
		n += 4
		if dist == 0 || dist > d || n > len(dst)-d {
			return d, fmt.Errorf("%w: match of %d bytes at distance %d after %d", compression.ErrCorrupt, n, dist, d)
		}
		copyMatch(dst, d, dist, n)
		d += n
	}
	return d, fmt.Errorf("%w: block without its last literals", compression.ErrCorrupt)
}

func lz4Length(src []byte, s, n int) (int, int, bool) {
	for s < len(src) {
		b := src[s]
		s++
		if n += int(b); n > lz4Block {
			break
		}
		if b != 255 {
			return n, s, true
		}
	}
	return 0, s, false
}

// copyMatch repeats n bytes from dist before d; the two may overlap. The caller
// has checked the bounds.
func copyMatch(dst []byte, d, dist, n int) {
	for n > 0 {
		// What lies before d repeats with period dist, so each round doubles the reach.
		k := copy(dst[d:d+n], dst[d-dist:d])
		d, n, dist = d+k, n-k, dist+k
	}
}

// readSized fills buf with n bytes, growing it only as data arrives: n is
// what a file claims.
func readSized(r io.Reader, buf []byte, n int) ([]byte, error) {
	const step = 1 << 20
	buf = buf[:0]
	for len(buf) < n {
		k := min(n-len(buf), step)
		at := len(buf)
		if cap(buf) < at+k {
			buf = append(buf, make([]byte, k)...)
		} else {
			buf = buf[:at+k]
		}
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			return buf[:0], noEOF(err)
		}
	}
	return buf, nil
}
