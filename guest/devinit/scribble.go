package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// scribble maps a PCI device's BAR (path, as below /sys/bus/pci/devices) and writes
// nonsense to it, count times at places of one to four bytes, reading in between.
// Half of the values are small: they name queues and offsets that exist. Now and
// then it plays a driver, up to the start, whose rings lie where no memory is.
func scribble(_ context.Context, a args) (values, error) {
	seed, err := a.number("seed", 1)
	if err != nil {
		return nil, err
	}
	count, err := a.number("count", 1000)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(a["path"], os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() < 4096 {
		return nil, fmt.Errorf("%s has %d bytes", a["path"], st.Size())
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	defer unix.Munmap(m)
	r := rand.New(rand.NewPCG(seed, 0))
	var read uint32
	for i := range count {
		if i%100 == 0 {
			drive(m, r)
		}
		// Most of a BAR is empty: what there is lies at the beginning of its pages.
		at := r.IntN(len(m)/4) * 4
		if r.IntN(2) == 0 {
			at = at&^0xFFF | at&0xFC
		}
		v := r.Uint32()
		if r.IntN(2) == 0 {
			v &= 0xF
		}
		p := unsafe.Pointer(&m[at])
		switch r.IntN(5) {
		case 0:
			*(*uint8)(p) = uint8(v)
		case 1:
			*(*uint16)(p) = uint16(v)
		case 2:
			read ^= atomic.LoadUint32((*uint32)(p))
		default:
			atomic.StoreUint32((*uint32)(p), v)
		}
	}
	return values{"size": strconv.Itoa(len(m)), "read": strconv.FormatUint(uint64(read), 16)}, nil
}

// drive is a driver's way through the common configuration at the BAR's beginning
// (virtio 1.3, section 4.1.4.3), with a ring's parts far outside of memory.
func drive(m []byte, r *rand.Rand) {
	u8 := func(at int, v uint8) { *(*uint8)(unsafe.Pointer(&m[at])) = v }
	u16 := func(at int, v uint16) { *(*uint16)(unsafe.Pointer(&m[at])) = v }
	u32 := func(at int, v uint32) { atomic.StoreUint32((*uint32)(unsafe.Pointer(&m[at])), v) }
	const (
		featureSelect, feature = 0x08, 0x0C
		status                 = 0x14
		queueSelect, queueSize = 0x16, 0x18
		queueEnable, queueDesc = 0x1C, 0x20
		version1               = 1 // of the features' second word
	)
	u8(status, 0)
	u8(status, 1)
	u8(status, 1|2)
	for i, v := range []uint32{0, version1} {
		u32(featureSelect, uint32(i))
		u32(feature, v)
	}
	u8(status, 1|2|8)
	for q := range uint16(2) {
		u16(queueSelect, q)
		u16(queueSize, 8)
		for i := range 3 {
			u32(queueDesc+8*i, r.Uint32()&^0xFFF)
			u32(queueDesc+8*i+4, 1+r.Uint32())
		}
		u16(queueEnable, 1)
	}
	u8(status, 1|2|8|4)
}
