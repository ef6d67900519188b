package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

func newLZMA(src io.Reader, limit int64) (io.Reader, error) {
	var h [compression.LZMAHeader]byte
	if _, err := io.ReadFull(src, h[:]); err != nil {
		return nil, err
	}
	// No distance reaches beyond the start, so the output's limit bounds the
	// dictionary, whatever the header asks for.
	dict := min(int64(binary.LittleEndian.Uint32(h[1:])), dictCap(limit))
	binary.LittleEndian.PutUint32(h[1:], uint32(dict))
	r, err := lzma.ReaderConfig{DictCap: int(max(dict, lzma.MinDictCap))}.NewReader(io.MultiReader(bytes.NewReader(h[:]), src))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", compression.ErrCorrupt, err)
	}
	return r, nil
}

// dictCap is the largest dictionary of use for an output of limit bytes. Twice
// the limit, because the decoder works ahead of what is read: it must still
// find its matches in a stream that is too long, so that it is called that.
func dictCap(limit int64) int64 {
	return min(2*limit+lzma.MinDictCap, 1<<30)
}
