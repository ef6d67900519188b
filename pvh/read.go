package pvh

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// readHeader reads a version 0 header alone first: it may be the last thing in
// memory.
func readHeader(mem io.ReaderAt, addr uint64) (Header, error) {
	b := make([]byte, HeaderSize)
	if err := readAt(mem, "start info", b[:HeaderSizeV0], addr); err != nil {
		return Header{}, err
	}
	if binary.LittleEndian.Uint32(b) != Magic || binary.LittleEndian.Uint32(b[4:]) == 0 {
		return ParseHeader(b[:HeaderSizeV0])
	}
	if err := readAt(mem, "start info", b, addr); err != nil {
		return Header{}, err
	}
	return ParseHeader(b)
}

func readModules(mem io.ReaderAt, h Header) ([]Module, error) {
	if h.NumModules == 0 {
		return nil, nil
	}
	if h.NumModules > MaxModules {
		return nil, fmt.Errorf("pvh: start info: %w: %d, the limit is %d", ErrTooManyModules, h.NumModules, MaxModules)
	}
	b := make([]byte, h.NumModules*ModuleSize)
	if err := readAt(mem, "module list", b, h.ModList); err != nil {
		return nil, err
	}
	ms := make([]Module, 0, h.NumModules)
	for ; len(b) >= ModuleSize; b = b[ModuleSize:] {
		ms = append(ms, Module{
			Addr:    binary.LittleEndian.Uint64(b),
			Size:    binary.LittleEndian.Uint64(b[8:]),
			Cmdline: binary.LittleEndian.Uint64(b[16:]),
		})
	}
	return ms, nil
}

func readMap(mem io.ReaderAt, h Header) ([]MemMapEntry, error) {
	if h.NumEntries == 0 {
		return nil, nil
	}
	if h.NumEntries > MaxEntries {
		return nil, fmt.Errorf("pvh: start info: %w: %d, the limit is %d", ErrTooManyEntries, h.NumEntries, MaxEntries)
	}
	b := make([]byte, h.NumEntries*EntrySize)
	if err := readAt(mem, "memory map", b, h.MemMap); err != nil {
		return nil, err
	}
	return ParseMap(b)
}

// readAt fills p from guest-physical address addr.
func readAt(mem io.ReaderAt, what string, p []byte, addr uint64) error {
	// Offsets of an io.ReaderAt are signed.
	if err := checkRange(what, addr, uint64(len(p)), math.MaxInt64); err != nil {
		return err
	}
	n, err := mem.ReadAt(p, int64(addr))
	if n == len(p) {
		return nil // ReadAt may return io.EOF with the last byte
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("pvh: %s at %#x: read %d of %d bytes: %w", what, addr, n, len(p), err)
}

// appendTo appends struct hvm_modlist_entry: u64 address, size, command line,
// reserved.
func (m Module) appendTo(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, m.Addr)
	b = le.AppendUint64(b, m.Size)
	b = le.AppendUint64(b, m.Cmdline)
	return le.AppendUint64(b, 0)
}
