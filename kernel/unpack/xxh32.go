package unpack

import (
	"encoding/binary"
	"math/bits"
)

// XXH32 with seed 0 (xxhash_spec.md).
const (
	xxPrime1 = 0x9E3779B1
	xxPrime2 = 0x85EBCA77
	xxPrime3 = 0xC2B2AE3D
	xxPrime4 = 0x27D4EB2F
	xxPrime5 = 0x165667B1
)

type xxh32 struct {
	lanes [4]uint32
	tail  [16]byte
	n     int // bytes in tail
	total uint64
}

func (x *xxh32) reset() {
	var one, two uint32 = xxPrime1, xxPrime2 // constants must not overflow
	*x = xxh32{lanes: [4]uint32{one + two, two, 0, -one}}
}

func (x *xxh32) write(b []byte) {
	x.total += uint64(len(b))
	if x.n > 0 {
		k := copy(x.tail[x.n:], b)
		x.n += k
		b = b[k:]
		if x.n < len(x.tail) {
			return
		}
		x.stripe(x.tail[:])
		x.n = 0
	}
	for ; len(b) >= 16; b = b[16:] {
		x.stripe(b)
	}
	x.n = copy(x.tail[:], b)
}

func (x *xxh32) stripe(b []byte) {
	for i := range x.lanes {
		x.lanes[i] = bits.RotateLeft32(x.lanes[i]+binary.LittleEndian.Uint32(b[4*i:])*xxPrime2, 13) * xxPrime1
	}
}

func (x *xxh32) value() uint32 {
	h := uint32(xxPrime5)
	if x.total >= 16 {
		h = 0
		for i, r := range [...]int{1, 7, 12, 18} {
			h += bits.RotateLeft32(x.lanes[i], r)
		}
	}
	h += uint32(x.total)
	b := x.tail[:x.n]
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(b)*xxPrime3, 17) * xxPrime4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*xxPrime5, 11) * xxPrime1
	}
	h = (h ^ h>>15) * xxPrime2
	h = (h ^ h>>13) * xxPrime3
	return h ^ h>>16
}

func xxh32Of(b []byte) uint32 {
	var x xxh32
	x.reset()
	x.write(b)
	return x.value()
}
