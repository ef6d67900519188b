package unpack

import (
	"encoding/binary"
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

// lzoDecode unpacks one LZO1X stream (Linux, Documentation/staging/lzo.rst) into
// dst and returns how many bytes it has. The stream ends in its own end mark.
//
// Each instruction's first byte says what it is; what the bytes below 16 mean
// depends on how many literals went before: none, 1 to 3, or 4 and more.
func lzoDecode(dst, src []byte) (int, error) {
	z := lzo{dst: dst, src: src}
	if len(src) > 0 && src[0] > 17 { // only the first byte may be a bare literal run
		z.s = 1
		n := int(src[0]) - 17
		if !z.literals(n) {
			return z.fail("first run of %d literals", n)
		}
		z.before = min(n, 4)
	}
	for {
		op, ok := z.byte()
		if !ok {
			return z.fail("no end mark")
		}
		if op < 16 && z.before == 0 {
			n, ok := z.length(op, 15)
			if !ok || !z.literals(n+3) {
				return z.fail("run of literals")
			}
			z.before = 4
			continue
		}
		n, dist, tail, ok := z.match(op)
		if !ok {
			return z.fail("instruction %#x cut off", op)
		}
		if dist == lzoEnd && op&0xf0 == 16 {
			if z.s != len(src) {
				return z.fail("%d bytes after the end mark", len(src)-z.s)
			}
			return z.d, nil
		}
		if dist > z.d || n > len(dst)-z.d {
			return z.fail("match of %d bytes at distance %d", n, dist)
		}
		copyMatch(dst, z.d, dist, n)
		z.d += n
		if !z.literals(tail) {
			return z.fail("%d literals", tail)
		}
		z.before = tail
	}
}

// lzoEnd is the distance that marks the end in an instruction of 16 to 31.
const lzoEnd = 16384

type lzo struct {
	dst, src []byte
	d, s     int
	before   int // literals that the last instruction copied: 0 to 3, 4 for more
}

func (z *lzo) fail(format string, args ...any) (int, error) {
	return z.d, fmt.Errorf("%w: lzo at %d: %s", compression.ErrCorrupt, z.s, fmt.Sprintf(format, args...))
}

func (z *lzo) byte() (byte, bool) {
	if z.s >= len(z.src) {
		return 0, false
	}
	z.s++
	return z.src[z.s-1], true
}

// length reads a length whose field of the instruction was v: 0 means that it
// goes on in bytes, each 0 standing for 255.
func (z *lzo) length(v byte, base int) (int, bool) {
	if v != 0 {
		return int(v), true
	}
	for n := base; n <= len(z.dst)+base; n += 255 {
		b, ok := z.byte()
		if !ok {
			return 0, false
		}
		if b != 0 {
			return n + int(b), true
		}
	}
	return 0, false
}

func (z *lzo) literals(n int) bool {
	if n > len(z.src)-z.s || n > len(z.dst)-z.d {
		return false
	}
	copy(z.dst[z.d:], z.src[z.s:z.s+n])
	z.d, z.s = z.d+n, z.s+n
	return true
}

// match reads the rest of a match instruction: how many bytes from how far
// back, and how many literals follow (the low two bits of its last but one or
// last byte).
func (z *lzo) match(op byte) (n, dist, tail int, ok bool) {
	if op >= 16 && op < 64 {
		field, base := op&31, 31
		if op < 32 {
			field, base = op&7, 7
		}
		if n, ok = z.length(field, base); !ok || len(z.src)-z.s < 2 {
			return 0, 0, 0, false
		}
		v := int(binary.LittleEndian.Uint16(z.src[z.s:]))
		z.s += 2
		n, dist, tail = n+2, v>>2+1, v&3
		if op < 32 {
			dist = 16384 + int(op&8)<<11 + v>>2
		}
		return n, dist, tail, true
	}
	h, ok := z.byte()
	if !ok {
		return 0, 0, 0, false
	}
	tail = int(op & 3)
	switch {
	case op >= 128:
		return 5 + int(op>>5&3), int(h)<<3 + int(op>>2&7) + 1, tail, true
	case op >= 64:
		return 3 + int(op>>5&1), int(h)<<3 + int(op>>2&7) + 1, tail, true
	case z.before == 4:
		return 3, int(h)<<2 + int(op>>2) + 2049, tail, true
	}
	return 2, int(h)<<2 + int(op>>2) + 1, tail, true
}
