package blk

import (
	"encoding/binary"
	"errors"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Types of requests (section 5.2.6).
const (
	typeIn          = 0
	typeOut         = 1
	typeFlush       = 4
	typeGetID       = 8
	typeDiscard     = 11
	typeWriteZeroes = 13
)

// Status of a request.
const (
	statusOK          = 0
	statusIOErr       = 1
	statusUnsupported = 2
)

// A request begins with type u32, reserved u32, sector u64; the data follow; the
// last writable byte is the status.
const headerSize = 16

// rangeSize is that of a range of discard or write-zeroes: sector u64, count of
// sectors u32, flags u32.
const (
	rangeSize   = 16
	rangeUnmap  = 1 // of the flags; write-zeroes only
	mostSectors = 1 << 54
)

// request is a request under way. It is used again and again; its storage stays.
type request struct {
	chain  virtio.Chain
	data   virtio.Vec // what is left to transfer
	store  virtio.Vec // data's own storage, where the chain's can't be used
	status *byte
	index  uint32 // in worker.requests

	kind    uint32
	durable bool
	off     int64 // in bytes; goes up with short transfers
	left    int   // bytes
	total   int   // bytes of the whole transfer
	ranges  []zone
	ruling  byte       // the status of ranges that were refused
	part    virtio.Vec // front's

	next   *request   // what was joined to it, in the order of the disk
	joined virtio.Vec // the data of all of them
	alone  bool       // is not to be joined to others
}

// zone is a checked range.
type zone struct {
	off, n int64
	unmap  bool
}

var (
	errHeader = errors.New("a request is shorter than its header of 16 bytes")
	errStatus = errors.New("a request has no room for its status")
)

// parse reads the header, once, and finds data and status. An error is one that
// can't be told in a status.
func (r *request) parse() error {
	out, in := r.chain.Out, r.chain.In
	var h [headerSize]byte
	if len(in) == 0 {
		return errStatus
	}
	if out.CopyOut(h[:], 0) < headerSize {
		return errHeader
	}
	r.kind = binary.LittleEndian.Uint32(h[0:])
	sector := binary.LittleEndian.Uint64(h[8:])
	r.off = -1
	if sector < mostSectors {
		r.off = int64(sector) * disk.SectorSize
	}
	last := &in[len(in)-1]
	r.status = at(last, int(last.Len)-1)
	r.data = nil
	switch r.kind {
	case typeIn, typeGetID:
		if r.data = in[:len(in)-1]; last.Len > 1 {
			r.store = in.Cut(r.store[:0], 0, in.Len()-1)
			r.data = r.store
		}
	default:
		if r.data = out[1:]; out[0].Len != headerSize {
			r.store = out.Cut(r.store[:0], headerSize, virtio.MaxChainBytes)
			r.data = r.store
		}
	}
	r.left = r.data.Len()
	r.total = r.left
	r.durable, r.alone = false, false
	return nil
}

// within tells whether [r.off, r.off+r.left) lies on a disk of size bytes.
func (r *request) within(size int64) bool {
	return r.off >= 0 && r.off <= size && int64(r.left) <= size-r.off
}

// front is the beginning of the data: what one call to the host may move.
func (r *request) front() virtio.Vec {
	if r.left <= long {
		return r.data
	}
	r.part = r.data.Cut(r.part[:0], 0, long)
	return r.part
}

// zeroBytes is how much a write-zeroes request, whose ranges were read, writes.
func (r *request) zeroBytes() (n int) {
	if r.kind == typeWriteZeroes && r.ruling == statusOK {
		for i := range r.ranges {
			n += int(r.ranges[i].n)
		}
	}
	return n
}

// advance takes n bytes off the front.
func (r *request) advance(n int) {
	r.off += int64(n)
	r.left -= n
	for n > 0 && len(r.data) > 0 {
		v := &r.data[0]
		if l := int(v.Len); n >= l {
			n -= l
			r.data = r.data[1:]
			continue
		}
		v.Base, v.Len = at(v, n), v.Len-uint64(n)
		return
	}
}

// parseRanges reads the ranges of a discard or write-zeroes request, once, and
// returns its status if there is something wrong with them (section 5.2.6.2).
func (r *request) parseRanges(size int64) byte {
	n := r.left / rangeSize
	if r.left%rangeSize != 0 || n == 0 || n > maxRanges {
		return statusIOErr
	}
	r.ranges = r.ranges[:0]
	for i := range n {
		var b [rangeSize]byte
		r.data.CopyOut(b[:], i*rangeSize)
		sector, count := binary.LittleEndian.Uint64(b[0:]), binary.LittleEndian.Uint32(b[8:])
		flags := binary.LittleEndian.Uint32(b[12:])
		if flags&^rangeUnmap != 0 || flags != 0 && r.kind == typeDiscard {
			return statusUnsupported
		}
		z := zone{off: int64(sector) * disk.SectorSize, n: int64(count) * disk.SectorSize, unmap: flags&rangeUnmap != 0}
		if sector >= mostSectors || count > maxRangeSectors || z.off > size || z.n > size-z.off {
			return statusIOErr
		}
		if z.n > 0 {
			r.ranges = append(r.ranges, z)
		}
	}
	return statusOK
}
