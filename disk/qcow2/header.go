package qcow2

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/mayfly-vm/mayfly/disk"
)

// header is what counts of an image's header. Source: docs/interop/qcow2.txt of
// QEMU. All numbers are big-endian:
//
//	 0 magic              4 version u32       8 backing file offset u64
//	16 its size u32      20 cluster bits u32  24 size u64
//	32 encryption u32    36 L1 entries u32    40 L1 offset u64
//	72 incompatible features u64             100 header length u32 (these and on: version 3)
//	104 compression type u8
//
// Extensions follow: type u32, length u32, data padded to 8 bytes; type 0 ends.
type header struct {
	size    int64
	backing string // "": none
	format  disk.Format
	// padded is up to where the file reads as zeroes after its end: the end of its last
	// cluster, if data lies there; 0 where there is no such part.
	padded int64
}

// Bounds. A larger L1 table than 32 MiB QEMU refuses too.
const (
	minClusterBits = 9
	maxClusterBits = 21
	maxL1          = 4 << 20
	maxName        = 1023
	maxExtensions  = 64
	extBacking     = 0xe2792aca
)

// Incompatible features.
const (
	featureCorrupt     = 1 << 1
	featureDataFile    = 1 << 2
	featureCompression = 1 << 3
	featureExtendedL2  = 1 << 4
	featuresKnown      = 1<<5 - 1
)

// readHeader reads and checks a header: what it promises must be in the file, and
// nothing may make a reader of it allocate without bounds.
func readHeader(f *disk.File) (h header, err error) {
	var b [112]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return h, err
	}
	be := binary.BigEndian
	version, length := be.Uint32(b[4:]), int64(72)
	if version == 3 {
		length = int64(be.Uint32(b[100:]))
	}
	bits, l1 := be.Uint32(b[20:]), uint64(be.Uint32(b[36:]))
	size := be.Uint64(b[24:])
	file := uint64(f.Length())
	switch {
	case n < 72 || version == 3 && n < 104:
		return h, fmt.Errorf("ends within its header: %d bytes", file)
	case version != 2 && version != 3:
		return h, fmt.Errorf("a qcow2 image of version %d; 2 and 3 can be read", version)
	case bits < minClusterBits || bits > maxClusterBits:
		return h, fmt.Errorf("the header says clusters of 2^%d bytes; they have 2^%d to 2^%d", bits, minClusterBits, maxClusterBits)
	case version == 3 && (length < 104 || length%8 != 0 || length > 1<<bits):
		return h, fmt.Errorf("the header says that it is %d bytes long", length)
	case be.Uint32(b[32:]) != 0:
		return h, fmt.Errorf("is encrypted, which is %w", disk.ErrUnsupported)
	case size < disk.SectorSize:
		return h, fmt.Errorf("the header says a disk of %d bytes", size)
	case l1 == 0 || l1 > maxL1:
		return h, fmt.Errorf("the header says %d L1 entries; there are 1 to %d", l1, maxL1)
	case size > l1<<(2*bits-3):
		return h, fmt.Errorf("the header says a disk of %d bytes, and that its %d L1 entries are for no more than %d", size, l1, l1<<(2*bits-3))
	}
	at := be.Uint64(b[40:])
	if at == 0 || at%(1<<bits) != 0 {
		return h, fmt.Errorf("the header says that the L1 table is at %d, which is no cluster", at)
	}
	if at > file || l1*8 > file-at {
		return h, fmt.Errorf("is shorter than its header says: the L1 table ends at %d, the file at %d; was it copied whole?", at+l1*8, file)
	}
	if version == 3 {
		if err := checkFeatures(be.Uint64(b[72:]), length > 104 && b[104] != 0); err != nil {
			return h, err
		}
	}
	h.size = int64(size)
	if off := be.Uint64(b[8:]); off != 0 {
		name := uint64(be.Uint32(b[16:]))
		if name == 0 || name > maxName || off > file || name > file-off {
			return h, fmt.Errorf("the header says that the backing file's name has %d bytes at %d", name, off)
		}
		p := make([]byte, name)
		if _, err := f.ReadAt(p, int64(off)); err != nil {
			return h, fmt.Errorf("the backing file's name: %w", err)
		}
		h.backing = string(p)
		h.format = backingFormat(f, length, 1<<bits)
	}
	h.padded, err = padding(f, int64(at), int64(l1), 1<<bits)
	return h, err
}

// padding is header.padded. A cluster's end that holds zeroes may not have been
// written; a table whose end is missing is damaged.
func padding(f *disk.File, at, l1, cluster int64) (int64, error) {
	size := f.Length()
	last := size - size%cluster
	if last == size {
		return 0, nil
	}
	const offsets = 1<<56 - 1<<9 // of an L1 entry: where its L2 table is
	var b [32 << 10]byte
	for n := 8 * l1; n > 0; {
		p := b[:min(n, int64(len(b)))]
		if _, err := f.ReadAt(p, at); err != nil {
			return 0, fmt.Errorf("the L1 table: %w", err)
		}
		at, n = at+int64(len(p)), n-int64(len(p))
		for ; len(p) > 0; p = p[8:] {
			if int64(binary.BigEndian.Uint64(p)&offsets) == last {
				return 0, nil
			}
		}
	}
	return last + cluster, nil
}

func checkFeatures(f uint64, compression bool) error {
	what := ""
	switch {
	case f&featureCorrupt != 0:
		return fmt.Errorf("is marked as corrupt; repair it: qemu-img check -r all")
	case f&featureDataFile != 0:
		what = "an external data file"
	case f&featureExtendedL2 != 0:
		what = "extended L2 entries"
	case f&featureCompression != 0 && compression:
		what = "compression by zstd"
	case f&^featuresKnown != 0:
		what = fmt.Sprintf("features %#x", f&^featuresKnown)
	default:
		return nil
	}
	return fmt.Errorf("has %s, which is %w; convert it: qemu-img convert -O raw", what, disk.ErrUnsupported)
}

// backingFormat is what an extension says; Auto if none does.
func backingFormat(f *disk.File, at, end int64) disk.Format {
	for range maxExtensions {
		var e [8]byte
		if _, err := f.ReadAt(e[:], at); err != nil || at+8 > end {
			break
		}
		kind, n := binary.BigEndian.Uint32(e[:]), int64(binary.BigEndian.Uint32(e[4:]))
		if kind == 0 || n > end-at-8 {
			break
		}
		if kind == extBacking && n <= 32 {
			p := make([]byte, n)
			if _, err := f.ReadAt(p, at+8); err == nil {
				return disk.Format(p)
			}
		}
		at += 8 + (n+7)&^7
	}
	return disk.Auto
}
