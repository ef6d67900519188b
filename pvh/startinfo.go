package pvh

import (
	"fmt"
	"io"
)

// Limits of a start info.
const (
	// MaxEntries bounds the memory map. Linux copies the map into a table of
	// 128 without checking the bound and then adds an entry of its own
	// (arch/x86/platform/pvh/enlighten.c).
	MaxEntries = 126
	// MaxModules is what fits in one page after the header.
	MaxModules = (4096 - modListOffset) / ModuleSize
	// TableLimit bounds start info, module list and memory map: the page tables
	// that Linux reads them through map the first GiB.
	TableLimit = 1 << 30
	// DataLimit bounds command lines and modules: a guest is entered in 32-bit
	// mode, and Linux's boot_params has these addresses in 32 bits.
	DataLimit = 1 << 32
)

// modListOffset is where Encode puts the module list, counted from the header.
const modListOffset = 64

// Module is an initrd or another file passed to the guest. Linux takes the
// first as its initrd and ignores the others; FreeBSD takes the first as loader
// metadata.
type Module struct {
	Addr    uint64 // guest-physical
	Size    uint64 // bytes
	Cmdline uint64 // guest-physical address of a string; 0: none
}

// StartInfo is what a PVH guest is given at its start. Addresses are guest-physical,
// 0 means absent.
type StartInfo struct {
	Version uint32 // 0 or 1; 0 has no memory map, and Linux outside Xen needs one
	Flags   uint32 // SIF_xxx of Xen; 0 everywhere else
	Modules []Module
	Cmdline uint64 // address of a string that ends in NUL
	RSDP    uint64 // address of ACPI's root pointer
	MemMap  []MemMapEntry
}

// Layout is the guest-physical addresses of the structures.
type Layout struct {
	Info   uint64 // start info, followed by the module list
	MemMap uint64 // memory map; unused if there is none
}

// Check reports what of si, placed at those addresses, a guest can't or doesn't use.
// Errors match ErrVersion, ErrTooManyModules or ErrOutOfRange, or are those of
// [CheckMap].
func (si *StartInfo) Check(at Layout) error {
	if si.Version > 1 {
		return fmt.Errorf("pvh: start info: %w %d: 0 and 1 are known", ErrVersion, si.Version)
	}
	if si.Version == 0 && len(si.MemMap) > 0 {
		return fmt.Errorf("pvh: start info: %w 0 has no memory map: use version 1 for its %d entries", ErrVersion, len(si.MemMap))
	}
	if n := len(si.Modules); n > MaxModules {
		return fmt.Errorf("pvh: start info: %w: %d, the limit is %d", ErrTooManyModules, n, MaxModules)
	}
	if err := CheckMap(si.MemMap); err != nil {
		return err
	}
	if err := checkRange("start info", at.Info, si.infoSize(), TableLimit); err != nil {
		return err
	}
	if err := checkRange("memory map", at.MemMap, uint64(len(si.MemMap))*EntrySize, TableLimit); err != nil {
		return err
	}
	if si.Cmdline != 0 {
		if err := checkRange("command line", si.Cmdline, 1, DataLimit); err != nil {
			return err
		}
	}
	for i, m := range si.Modules {
		if err := checkRange(fmt.Sprintf("module %d", i), m.Addr, m.Size, DataLimit); err != nil {
			return err
		}
		if m.Cmdline == 0 {
			continue
		}
		if err := checkRange(fmt.Sprintf("command line of module %d", i), m.Cmdline, 1, DataLimit); err != nil {
			return err
		}
	}
	return nil
}

// Encode returns the bytes for at.Info (header, then at offset 64 the module
// list) and for at.MemMap (nil if there is no map). Errors are those of
// [StartInfo.Check].
func (si *StartInfo) Encode(at Layout) (info, memMap []byte, err error) {
	if err := si.Check(at); err != nil {
		return nil, nil, err
	}
	h := Header{
		Version:    si.Version,
		Flags:      si.Flags,
		NumModules: uint32(len(si.Modules)),
		Cmdline:    si.Cmdline,
		RSDP:       si.RSDP,
		NumEntries: uint32(len(si.MemMap)),
	}
	// FreeBSD takes any address of a module list as the sign of a module.
	if len(si.Modules) > 0 {
		h.ModList = at.Info + modListOffset
	}
	if len(si.MemMap) > 0 {
		h.MemMap = at.MemMap
	}
	info = h.AppendTo(make([]byte, 0, si.infoSize()))
	if len(si.Modules) > 0 {
		info = info[:modListOffset]
		for _, m := range si.Modules {
			info = m.appendTo(info)
		}
	}
	if len(si.MemMap) > 0 {
		memMap = AppendMap(make([]byte, 0, len(si.MemMap)*EntrySize), si.MemMap)
	}
	return info, memMap, nil
}

// infoSize is the length of Encode's first result.
func (si *StartInfo) infoSize() uint64 {
	switch {
	case len(si.Modules) > 0:
		return modListOffset + uint64(len(si.Modules))*ModuleSize
	case si.Version == 0:
		return HeaderSizeV0
	default:
		return HeaderSize
	}
}

// ParseStartInfo reads the start info at guest-physical address addr, with its
// module list and memory map. mem is guest memory: its offsets are
// guest-physical addresses.
//
// Counts are checked: more than MaxModules or MaxEntries is an error
// (ErrTooManyModules, ErrTooManyEntries), and so is a list that mem can't read. The
// entries' values aren't checked; [StartInfo.Check] and [CheckMap] do that.
func ParseStartInfo(mem io.ReaderAt, addr uint64) (*StartInfo, error) {
	h, err := readHeader(mem, addr)
	if err != nil {
		return nil, err
	}
	si := &StartInfo{Version: h.Version, Flags: h.Flags, Cmdline: h.Cmdline, RSDP: h.RSDP}
	if si.Modules, err = readModules(mem, h); err != nil {
		return nil, err
	}
	if si.MemMap, err = readMap(mem, h); err != nil {
		return nil, err
	}
	return si, nil
}
