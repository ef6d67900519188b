package compression

import (
	"encoding/binary"
	"strings"
)

// First bytes of the formats whose decoders are Mayfly's own.
const (
	MagicXZ  = "\xfd7zXZ\x00"
	MagicLZO = "\x89LZO\x00\r\n\x1a\n"
	MagicLZ4 = "\x02\x21\x4c\x18" // the legacy frame, in which Linux packs itself

	MagicLZ4Frame = "\x04\x22\x4d\x18"
)

// LZMAHeader is the length of the lzma "alone" header: u8 properties, u32
// dictionary size, u64 unpacked size (all ones: unknown, an end mark follows).
const LZMAHeader = 13

// Detect judges by a stream's first bytes, of which 13 are enough; "" means none
// of the kinds. The lzma format has no magic: it is taken for one if its
// properties are the usual ones and its sizes are sane.
func Detect(head []byte) Kind {
	begin := string(head[:min(len(head), LZMAHeader)])
	for _, m := range [...]struct {
		kind  Kind
		magic string
	}{
		{None, "\x7fELF"}, {Gzip, "\x1f\x8b\x08"}, {Bzip2, "BZh"}, {XZ, MagicXZ},
		{LZO, MagicLZO}, {LZ4, MagicLZ4}, {LZ4, MagicLZ4Frame}, {Zstd, "\x28\xb5\x2f\xfd"},
	} {
		if strings.HasPrefix(begin, m.magic) {
			return m.kind
		}
	}
	if isLZMA(head) {
		return LZMA
	}
	return ""
}

func isLZMA(head []byte) bool {
	// lc=3 lp=0 pb=2 is what every packer of kernels uses, and a first byte of range
	// coded data is 0.
	if len(head) < LZMAHeader || head[0] != 0x5d {
		return false
	}
	dict := binary.LittleEndian.Uint32(head[1:])
	size := binary.LittleEndian.Uint64(head[5:])
	return dict >= 1<<12 && dict <= 1<<30 && dict&(dict-1) == 0 && (size == 1<<64-1 || size < 1<<40) && (len(head) == LZMAHeader || head[LZMAHeader] == 0)
}
