package blk

import (
	"encoding/binary"
	"math/bits"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Feature bits (section 5.2.3). VIRTIO_BLK_F_SIZE_MAX is not offered: a segment
// may have any size. BLK_SIZE and TOPOLOGY are only where they say more than 512:
// each field costs the booting guest an exit.
const (
	featureSegMax      virtio.Feature = 1 << 2
	featureRO          virtio.Feature = 1 << 5
	featureBlkSize     virtio.Feature = 1 << 6
	featureFlush       virtio.Feature = 1 << 9
	featureTopology    virtio.Feature = 1 << 10
	featureConfigWCE   virtio.Feature = 1 << 11
	featureMQ          virtio.Feature = 1 << 12
	featureDiscard     virtio.Feature = 1 << 13
	featureWriteZeroes virtio.Feature = 1 << 14
)

// Limits of discard and write-zeroes requests. A guest chooses how much work they are
// for the host, which may have to write the zeroes out: one range of 128 MiB is all
// that a request may name.
const (
	maxRangeSectors = 128 << 20 / disk.SectorSize
	maxRanges       = 1
)

// offsetWCE is the place of the one field that a driver may write.
const offsetWCE = 32

// spaceSize is the length of struct virtio_blk_config up to the fields of
// write-zeroes.
const spaceSize = 60

// Features are those of section 5.2.3.
func (d *Device) Features() virtio.Feature {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := featureSegMax | featureFlush
	if d.blocks.Logical != disk.SectorSize {
		f |= featureBlkSize
	}
	if d.topology() {
		f |= featureTopology
	}
	if len(d.sizes) > 1 {
		f |= featureMQ
	}
	if d.readOnly {
		return f | featureRO
	}
	f |= featureConfigWCE
	if !d.config.NoDiscard {
		f |= featureDiscard | featureWriteZeroes
	}
	return f
}

func (d *Device) topology() bool {
	b := d.blocks
	return b.Physical > b.Logical || b.Minimum > b.Logical || b.Optimal != 0
}

// ReadConfig reads struct virtio_blk_config (section 5.2.4).
func (d *Device) ReadConfig(off uint64, p []byte) {
	var s [spaceSize]byte
	le := binary.LittleEndian
	le.PutUint64(s[0:], uint64(d.capacity.Load()/disk.SectorSize))
	le.PutUint32(s[12:], uint32(d.segMax()))
	b := d.blocks
	le.PutUint32(s[20:], b.Logical)
	if b.Physical > b.Logical {
		s[24] = byte(bits.TrailingZeros32(b.Physical / b.Logical))
	}
	le.PutUint16(s[26:], uint16(min(b.Minimum/b.Logical, 1<<16-1)))
	le.PutUint32(s[28:], b.Optimal/b.Logical)
	if d.writeback.Load() {
		s[offsetWCE] = 1
	}
	le.PutUint16(s[34:], uint16(len(d.sizes)))
	le.PutUint32(s[36:], maxRangeSectors)
	le.PutUint32(s[40:], maxRanges)
	le.PutUint32(s[44:], max(b.Physical, b.Logical)/disk.SectorSize)
	le.PutUint32(s[48:], maxRangeSectors)
	le.PutUint32(s[52:], maxRanges)
	s[56] = 1 // write-zeroes may unmap
	virtio.ReadSpace(s[:], off, p)
}

// segMax is the most data buffers in a request: those that fit into a ring with
// header and status.
func (d *Device) segMax() int { return int(d.sizes[0]) - 2 }

// WriteConfig takes the driver's choice between a cache and writing through
// (section 5.2.6.1).
func (d *Device) WriteConfig(off uint64, p []byte) {
	if off <= offsetWCE && offsetWCE-off < uint64(len(p)) && !d.readOnly {
		d.writeback.Store(p[offsetWCE-off]&1 != 0)
	}
}
