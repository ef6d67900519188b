package ask

import "encoding/binary"

// Fill fills p with the bytes that a stream or disk of that seed has from offset
// off on. Each word of eight depends on its place and the seed, so that data in
// the wrong place shows.
func Fill(p []byte, seed, off uint64) {
	for len(p) > 0 && off%8 != 0 {
		p[0] = byte(word(seed, off/8) >> (off % 8 * 8))
		p, off = p[1:], off+1
	}
	for ; len(p) >= 8; p, off = p[8:], off+8 {
		binary.LittleEndian.PutUint64(p, word(seed, off/8))
	}
	for i := range p {
		p[i] = byte(word(seed, off/8) >> (i * 8))
	}
}

// word is SplitMix64's output function over a counter.
func word(seed, n uint64) uint64 {
	z := (seed<<40 + n + 1) * 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// Pattern is n bytes of [Fill].
func Pattern(seed, off uint64, n int) []byte {
	p := make([]byte, n)
	Fill(p, seed, off)
	return p
}

// Mismatch is the place of the first byte in p that is not of the pattern, -1 if
// there is none.
func Mismatch(p []byte, seed, off uint64) int64 {
	want := Pattern(seed, off, len(p))
	if string(want) == string(p) {
		return -1
	}
	for i := range p {
		if p[i] != want[i] {
			return int64(off) + int64(i)
		}
	}
	return -1
}
