package pvh

import (
	"encoding/binary"
	"fmt"
)

// Magic is the first field of start info: "xEn3" with bit 7 of the 'E' set.
const Magic = 0x336EC578

// Sizes of the structures in bytes.
const (
	HeaderSizeV0 = 40 // hvm_start_info, version 0
	HeaderSize   = 56 // hvm_start_info, version 1
	ModuleSize   = 32 // hvm_modlist_entry
	EntrySize    = 24 // hvm_memmap_table_entry
)

// Header is struct hvm_start_info as it is in memory
// (xen/include/public/arch-x86/hvm/start_info.h). An address of 0 means absent.
//
//	 0 u32 magic            24 u64 command line
//	 4 u32 version          32 u64 RSDP
//	 8 u32 flags            40 u64 memory map          (version 1)
//	12 u32 modules          48 u32 memory map entries  (version 1)
//	16 u64 module list      52 u32 reserved, 0         (version 1)
type Header struct {
	Version    uint32
	Flags      uint32 // SIF_xxx; only Xen's first domain has any
	NumModules uint32
	ModList    uint64
	Cmdline    uint64
	RSDP       uint64
	MemMap     uint64
	NumEntries uint32
}

// AppendTo appends the header: HeaderSizeV0 bytes for version 0, else
// HeaderSize bytes.
func (h Header) AppendTo(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, Magic)
	b = le.AppendUint32(b, h.Version)
	b = le.AppendUint32(b, h.Flags)
	b = le.AppendUint32(b, h.NumModules)
	b = le.AppendUint64(b, h.ModList)
	b = le.AppendUint64(b, h.Cmdline)
	b = le.AppendUint64(b, h.RSDP)
	if h.Version == 0 {
		return b
	}
	b = le.AppendUint64(b, h.MemMap)
	b = le.AppendUint32(b, h.NumEntries)
	return le.AppendUint32(b, 0)
}

// ParseHeader reads a header. Versions above 1 are read as version 1, which
// they extend. It needs HeaderSizeV0 bytes for version 0 and HeaderSize bytes
// for the others. Errors match ErrBadMagic or ErrVersion (the header is shorter
// than that of its version).
func ParseHeader(b []byte) (Header, error) {
	le := binary.LittleEndian
	if len(b) < HeaderSizeV0 {
		return Header{}, fmt.Errorf("pvh: start info: %w: %d bytes, expected at least %d", ErrVersion, len(b), HeaderSizeV0)
	}
	if m := le.Uint32(b); m != Magic {
		return Header{}, fmt.Errorf("pvh: start info: %w: found %#x, expected %#x", ErrBadMagic, m, uint32(Magic))
	}
	h := Header{
		Version:    le.Uint32(b[4:]),
		Flags:      le.Uint32(b[8:]),
		NumModules: le.Uint32(b[12:]),
		ModList:    le.Uint64(b[16:]),
		Cmdline:    le.Uint64(b[24:]),
		RSDP:       le.Uint64(b[32:]),
	}
	if h.Version == 0 {
		return h, nil
	}
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("pvh: start info: %w %d: %d bytes, expected %d", ErrVersion, h.Version, len(b), HeaderSize)
	}
	h.MemMap = le.Uint64(b[40:])
	h.NumEntries = le.Uint32(b[48:])
	return h, nil
}
