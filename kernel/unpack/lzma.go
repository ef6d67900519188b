package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// The lzma "alone" header: u8 properties, u32 dictionary size, u64 unpacked size
// (all ones: unknown, an end mark follows).
const lzmaHeader = 13

func isLZMA(head []byte) bool {
	// lc=3 lp=0 pb=2 is what every packer of kernels uses, and a first byte of range
	// coded data is 0.
	if len(head) < lzmaHeader || head[0] != 0x5d {
		return false
	}
	dict := binary.LittleEndian.Uint32(head[1:])
	size := binary.LittleEndian.Uint64(head[5:])
	return dict >= 1<<12 && dict <= 1<<30 && dict&(dict-1) == 0 && (size == 1<<64-1 || size < 1<<40) && (len(head) == lzmaHeader || head[lzmaHeader] == 0)
}

func newLZMA(src io.Reader, limit int64) (io.Reader, error) {
	var h [lzmaHeader]byte
	if _, err := io.ReadFull(src, h[:]); err != nil {
		return nil, err
	}
	// No distance reaches behind the start, so the output's limit bounds the
	// dictionary, whatever the header asks for.
	dict := min(int64(binary.LittleEndian.Uint32(h[1:])), dictCap(limit))
	binary.LittleEndian.PutUint32(h[1:], uint32(dict))
	r, err := lzma.ReaderConfig{DictCap: int(max(dict, lzma.MinDictCap))}.NewReader(io.MultiReader(bytes.NewReader(h[:]), src))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return r, nil
}

// dictCap is the largest dictionary of use for an output of limit bytes. Twice
// the limit, because the decoder works ahead of what is read: it must still
// find its matches in a stream that is too long, so that it is called that.
func dictCap(limit int64) int64 {
	return min(2*limit+lzma.MinDictCap, 1<<30)
}
