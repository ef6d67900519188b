package kernel

import (
	"encoding/hex"
	"hash/crc32"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// An index entry lets a later start skip hashing the packed file: while a file's
// identity, size and times are the same, so is what it holds. Layout,
// little-endian, 136 bytes:
//
//	0   8   magic
//	8   16  device, inode
//	24  8   size
//	32  32  mtime and ctime, seconds and nanoseconds each
//	64  16  offset and size of the packed part
//	80  8   size of the unpacked kernel
//	88  32  key of the unpacked kernel
//	120 4   CRC-32 of the unpacked kernel's first bytes, up to 4096
//	124 8   zero
//	132 4   CRC-32 of all before
const (
	indexMagic = "mayflyk1"
	indexSize  = 136
)

// Times of a file say nothing about a change that is made within one tick of the
// clock after them. An entry is only written if the file's last change lies this
// far before the first byte was read. Local file systems stamp with the kernel's
// clock, which ticks every 10 ms or less; others may take a clock elsewhere.
const (
	settleLocal  = 100 * time.Millisecond
	settleRemote = 2 * time.Second
)

func indexName(st *unix.Stat_t) string {
	b := make([]byte, 0, 48)
	b = append(b, "i-"...)
	b = strconv.AppendUint(b, uint64(st.Dev), 16)
	b = append(b, '-')
	return string(strconv.AppendUint(b, st.Ino, 16))
}

// encodeIndex writes the part of an entry that a lookup compares, 88 bytes less
// the unpacked size.
func encodeIndex(st *unix.Stat_t, p packed) []byte {
	b := make([]byte, 0, indexSize)
	b = append(b, indexMagic...)
	for _, v := range [...]uint64{
		uint64(st.Dev), st.Ino, uint64(st.Size),
		uint64(st.Mtim.Sec), uint64(st.Mtim.Nsec), uint64(st.Ctim.Sec), uint64(st.Ctim.Nsec),
		p.off, p.size,
	} {
		b = le.AppendUint64(b, v)
	}
	return b
}

// lookup finds the unpacked kernel of an unchanged file, or returns nil.
func (c *cache) lookup(st *unix.Stat_t, p packed) (*os.File, uint64, []byte) {
	if c == nil {
		return nil, 0, nil
	}
	fd, _, err := c.openFile(indexName(st))
	if err != nil {
		return nil, 0, nil
	}
	var b [indexSize]byte
	n, err := unix.Pread(fd, b[:], 0)
	unix.Close(fd)
	if err != nil || n != indexSize || crc32.ChecksumIEEE(b[:132]) != le.Uint32(b[132:]) {
		return nil, 0, nil
	}
	want := encodeIndex(st, p)
	if string(want) != string(b[:len(want)]) {
		return nil, 0, nil
	}
	size := le.Uint64(b[80:])
	if p.exact != 0 && p.exact != size {
		return nil, 0, nil
	}
	f, size, head := c.content(key(b[88:120]), size)
	if f != nil && crc32.ChecksumIEEE(head) != le.Uint32(b[120:]) {
		f.Close()
		c.remove(hex.EncodeToString(b[88:120]))
		return nil, 0, nil
	}
	return f, size, head
}

// remember writes the entry for f, of which st was taken before its first byte
// was read at began. Failing costs the next start some time and is no error.
func (c *cache) remember(f *os.File, st *unix.Stat_t, p packed, k key, size uint64, head []byte, began time.Time) {
	var now unix.Stat_t
	if unix.Fstat(int(f.Fd()), &now) != nil || string(encodeIndex(&now, p)) != string(encodeIndex(st, p)) {
		return
	}
	settle := settleRemote
	if isLocal(f) {
		settle = settleLocal
	}
	if began.Sub(time.Unix(st.Ctim.Unix())) < settle || began.Sub(time.Unix(st.Mtim.Unix())) < settle {
		return
	}
	b := encodeIndex(st, p)
	b = le.AppendUint64(b, size)
	b = append(b, k...)
	b = le.AppendUint32(b, crc32.ChecksumIEEE(head))
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint32(b, crc32.ChecksumIEEE(b))

	tmp, err := c.temp()
	if err != nil {
		return
	}
	_, err = tmp.Write(b)
	if e := tmp.Sync(); err == nil {
		err = e
	}
	tmp.Close()
	if err != nil || c.publish(tmp.Name(), indexName(st)) != nil {
		c.remove(tmp.Name())
	}
}

// isLocal reports whether f's times come from this kernel's clock.
func isLocal(f *os.File) bool {
	var fs unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &fs) != nil {
		return false
	}
	switch fs.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.SQUASHFS_MAGIC, unix.EROFS_SUPER_MAGIC_V1, 0x2fc12fc1 /* ZFS */ :
		return true
	}
	return false
}
