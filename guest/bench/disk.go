package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// WriteDisk makes a disk of size bytes for the blk orders at path.
func WriteDisk(path string, size int64) error {
	if size <= 0 || size%BlockSize != 0 {
		return fmt.Errorf("bench: a disk of %d bytes: expected a multiple of %d", size, BlockSize)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	block := make([]byte, BlockSize)
	for i := range block {
		block[i] = byte(i*7 + i>>8)
	}
	for n := range uint64(size / BlockSize) {
		word := n * Golden
		binary.LittleEndian.PutUint64(block, word)
		binary.LittleEndian.PutUint64(block[BlockSize-8:], ^word)
		if _, err := w.Write(block); err != nil {
			f.Close()
			return err
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// CheckDisk reads the disk at path and reports whether each block is whole and in its place, and how many were written
// by the guest.
func CheckDisk(path string) (written int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	block := make([]byte, BlockSize)
	for n := uint64(0); ; n++ {
		if _, err := io.ReadFull(r, block); errors.Is(err, io.EOF) {
			return written, nil
		} else if err != nil {
			return written, err
		}
		first, last := binary.LittleEndian.Uint64(block), binary.LittleEndian.Uint64(block[BlockSize-8:])
		by := first - n*Golden
		if by >= 256 || last != ^first {
			return written, fmt.Errorf("%s: block %d begins with %#x and ends with %#x, expected %#x and less than 256 more, and that inverted", path, n, first, last, n*Golden)
		}
		if by != 0 {
			written++
		}
	}
}

// Sum is what the guest's blksum finds in b: the sum of its little-endian words of 8 bytes.
func Sum(b []byte) (sum uint64) {
	for ; len(b) >= 8; b = b[8:] {
		sum += binary.LittleEndian.Uint64(b)
	}
	return sum
}
