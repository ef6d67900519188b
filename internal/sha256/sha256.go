// Package sha256 is SHA-256 (FIPS 180-4, sections 5.1.1, 5.3.3 and 6.2.2) and nothing
// else. The standard library's is faster, but links a module whose
// initialisation asks the processor what it can do, ten times over, at every start
// of every program; in a virtual machine each question is an exit, together some
// 0.15 ms. Here a hash is made once in the life of a kernel file.
package sha256

import (
	"encoding/binary"
	"math/bits"
)

// Size is the length of a sum in bytes.
const Size = 32

const blockSize = 64

// Hash is a sum under way: an io.Writer that never fails.
type Hash struct {
	h    [8]uint32
	buf  [blockSize]byte // the begun block
	n    int             // bytes in buf
	size uint64          // bytes so far
}

// New begins a sum.
func New() *Hash {
	return &Hash{h: [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}}
}

// Write adds p.
func (d *Hash) Write(p []byte) (int, error) {
	total := len(p)
	d.size += uint64(total)
	if d.n > 0 {
		n := copy(d.buf[d.n:], p)
		d.n, p = d.n+n, p[n:]
		if d.n < blockSize {
			return total, nil
		}
		d.block(d.buf[:])
		d.n = 0
	}
	for ; len(p) >= blockSize; p = p[blockSize:] {
		d.block(p)
	}
	d.n = copy(d.buf[:], p)
	return total, nil
}

// Sum appends the sum of what was written to b. More can be written after it.
func (d *Hash) Sum(b []byte) []byte {
	e := *d // the padding is not part of what was written
	pad := make([]byte, 1, 2*blockSize)
	pad[0] = 0x80
	for (e.size+uint64(len(pad)))%blockSize != blockSize-8 {
		pad = append(pad, 0)
	}
	_, _ = e.Write(binary.BigEndian.AppendUint64(pad, 8*d.size))
	for _, w := range e.h {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return b
}

func (d *Hash) block(p []byte) {
	var w [64]uint32
	for i := range 16 {
		w[i] = binary.BigEndian.Uint32(p[4*i:])
	}
	for i := 16; i < 64; i++ {
		a, b := w[i-2], w[i-15]
		w[i] = w[i-7] + w[i-16] +
			(bits.RotateLeft32(a, -17) ^ bits.RotateLeft32(a, -19) ^ a>>10) +
			(bits.RotateLeft32(b, -7) ^ bits.RotateLeft32(b, -18) ^ b>>3)
	}
	a, b, c, e := d.h[0], d.h[1], d.h[2], d.h[4]
	dd, f, g, h := d.h[3], d.h[5], d.h[6], d.h[7]
	for i, k := range k {
		t1 := h + (bits.RotateLeft32(e, -6) ^ bits.RotateLeft32(e, -11) ^ bits.RotateLeft32(e, -25)) + (e&f ^ ^e&g) + k + w[i]
		t2 := (bits.RotateLeft32(a, -2) ^ bits.RotateLeft32(a, -13) ^ bits.RotateLeft32(a, -22)) + (a&b ^ a&c ^ b&c)
		a, b, c, dd, e, f, g, h = t1+t2, a, b, c, dd+t1, e, f, g
	}
	for i, v := range [8]uint32{a, b, c, dd, e, f, g, h} {
		d.h[i] += v
	}
}

// k are the first 32 bits of the fractional parts of the cube roots of the first
// 64 primes.
var k = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
