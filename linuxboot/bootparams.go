package linuxboot

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mayfly-vm/mayfly/pvh"
)

// ZeroPageSize is the size of struct boot_params in bytes.
const ZeroPageSize = 4096

// Offsets in struct boot_params; those from 0x1f1 on are the setup header.
const (
	offRSDP            = 0x070 // u64
	offExtRamdiskImage = 0x0c0 // u32, bits 32 and up of the one in the header
	offExtRamdiskSize  = 0x0c4
	offExtCmdline      = 0x0c8
	offE820Entries     = 0x1e8 // u8
	offHeader          = 0x1f1
	offBootFlag        = 0x1fe // u16
	offJump            = 0x200 // a short jump over the header: its second byte is the header's length
	offMagic           = 0x202 // u32
	offVersion         = 0x206 // u16
	offLoader          = 0x210 // u8
	offLoadFlags       = 0x211 // u8
	offRamdiskImage    = 0x218 // u32
	offRamdiskSize     = 0x21c
	offHeapEnd         = 0x224 // u16
	offCmdline         = 0x228 // u32
	offSetupData       = 0x250 // u64
	offHeaderLimit     = 0x290 // what follows the room for the header
	offE820            = 0x2d0 // 128 entries of 20 bytes: u64 address, u64 size, u32 type
)

const (
	bootFlag       = 0xAA55
	headerMagic    = 0x53726448 // "HdrS"
	protocol       = 0x020c     // 2.12, as in Linux's PVH entry
	loaderUnknown  = 0xFF       // type_of_loader of a loader without a number
	loadedHigh     = 1 << 0     // loadflags: the kernel lies at 1 MiB or above
	loadFlagsOurs  = 1<<1 | 1<<7
	e820Size       = 20
	isaStart       = 0xA0000
	isaEnd         = 0x100000
	minHeaderBytes = offVersion + 2 - offHeader
)

// Causes, for errors.Is.
var (
	ErrNoMemoryMap = errors.New("no memory map")
	ErrBadHeader   = errors.New("bad setup header")
)

// BootParams returns the zero page for the machine that si describes.
//
// hdr is the setup header of the bzImage that the kernel came in, from file
// offset 0x1f1 on, or nil; bytes after its end, which it states itself, are
// ignored. The first module is the initrd, the others are ignored, as by Linux's PVH
// entry. The zero page has room for every map that
// [pvh.CheckMap] passes.
//
// Errors match ErrNoMemoryMap, ErrBadHeader or pvh.ErrOutOfRange, or are those
// of pvh.CheckMap.
func BootParams(si *pvh.StartInfo, hdr []byte) ([]byte, error) {
	if len(si.MemMap) == 0 {
		return nil, fmt.Errorf("linuxboot: start info has %w: Linux needs one", ErrNoMemoryMap)
	}
	if err := pvh.CheckMap(si.MemMap); err != nil {
		return nil, fmt.Errorf("linuxboot: %w", err)
	}
	p := make([]byte, ZeroPageSize)
	if err := putHeader(p, hdr); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	le.PutUint64(p[offRSDP:], si.RSDP)
	le.PutUint32(p[offCmdline:], uint32(si.Cmdline))
	le.PutUint32(p[offExtCmdline:], uint32(si.Cmdline>>32))
	if len(si.Modules) > 0 {
		m := si.Modules[0]
		if m.Addr > pvh.AddrLimit || m.Size > pvh.AddrLimit-m.Addr {
			return nil, fmt.Errorf("linuxboot: initrd: %w", &pvh.RangeError{What: "module 0", Addr: m.Addr, Size: m.Size, Limit: pvh.AddrLimit})
		}
		le.PutUint32(p[offRamdiskImage:], uint32(m.Addr))
		le.PutUint32(p[offExtRamdiskImage:], uint32(m.Addr>>32))
		le.PutUint32(p[offRamdiskSize:], uint32(m.Size))
		le.PutUint32(p[offExtRamdiskSize:], uint32(m.Size>>32))
	}
	// The PVH entry appends the ISA range too; the kernel sorts the table and
	// resolves overlaps.
	isa := pvh.MemMapEntry{Addr: isaStart, Size: isaEnd - isaStart, Type: pvh.Reserved}
	for i, e := range si.MemMap {
		putE820(p, i, e)
	}
	putE820(p, len(si.MemMap), isa)
	p[offE820Entries] = uint8(len(si.MemMap) + 1)
	return p, nil
}

// putHeader writes the setup header: hdr, if there is one, with what a loader
// has to set.
func putHeader(p, hdr []byte) error {
	le := binary.LittleEndian
	if hdr != nil {
		if len(hdr) < minHeaderBytes {
			return fmt.Errorf("linuxboot: %w: %d bytes, expected at least %d", ErrBadHeader, len(hdr), minHeaderBytes)
		}
		if m := le.Uint32(hdr[offMagic-offHeader:]); m != headerMagic {
			return fmt.Errorf("linuxboot: %w: magic %#x, expected %#x (HdrS)", ErrBadHeader, m, headerMagic)
		}
		end := offMagic + int(hdr[offJump+1-offHeader])
		if end > offHeaderLimit {
			return fmt.Errorf("linuxboot: %w: it ends at %#x, expected at most %#x", ErrBadHeader, end, offHeaderLimit)
		}
		if end-offHeader > len(hdr) {
			return fmt.Errorf("linuxboot: %w: %d of %d bytes are there", ErrBadHeader, len(hdr), end-offHeader)
		}
		copy(p[offHeader:end], hdr)
	} else {
		p[offJump], p[offJump+1] = 0xEB, offHeaderLimit-offMagic // jmp
		le.PutUint16(p[offBootFlag:], bootFlag)
		le.PutUint32(p[offMagic:], headerMagic)
	}
	// An older version would hide fields that are set here from the kernel.
	le.PutUint16(p[offVersion:], max(le.Uint16(p[offVersion:]), protocol))
	p[offLoader] = loaderUnknown
	// KASLR_FLAG (bit 1) and CAN_USE_HEAP (bit 7) speak of boot code that isn't
	// run, and so does the end of its heap.
	p[offLoadFlags] = p[offLoadFlags]&^loadFlagsOurs | loadedHigh
	le.PutUint16(p[offHeapEnd:], 0)
	le.PutUint64(p[offSetupData:], 0)
	return nil
}

func putE820(p []byte, i int, e pvh.MemMapEntry) {
	b := p[offE820+i*e820Size:]
	binary.LittleEndian.PutUint64(b, e.Addr)
	binary.LittleEndian.PutUint64(b[8:], e.Size)
	binary.LittleEndian.PutUint32(b[16:], uint32(e.Type))
}
