package kernel

import (
	"fmt"
	"slices"
)

// Machine is an ELF file's e_machine.
type Machine uint16

// Machines that have a name here.
const (
	Machine386   Machine = 3
	MachineX8664 Machine = 62
)

// String names the architecture.
func (m Machine) String() string {
	switch m {
	case Machine386:
		return "i386"
	case MachineX8664:
		return "x86-64"
	case 8:
		return "MIPS"
	case 20, 21:
		return "PowerPC"
	case 22:
		return "s390"
	case 40:
		return "ARM"
	case 183:
		return "arm64"
	case 243:
		return "RISC-V"
	case 258:
		return "LoongArch"
	}
	return fmt.Sprintf("machine %d", uint16(m))
}

// Limits against files that only want to cost memory: a kernel has about 5
// program headers and 80 sections.
const (
	maxProgramHeaders = 512
	maxSections       = 4096
	maxNoteBytes      = 1 << 20
)

const (
	ptLoad  = 1
	ptNote  = 4
	shtNote = 7

	shtNoBits = 8

	shfAlloc     = 2
	shfExecInstr = 4
	shfTLS       = 0x400
)

// header is what is needed of the ELF header (gABI, "ELF Header").
type header struct {
	class                int
	phoff, shoff         uint64
	phnum, shnum         int
	phentsize, shentsize int
}

// phdr is a program header of either class.
type phdr struct {
	typ                                        uint32
	flags                                      uint32
	offset, vaddr, paddr, filesz, memsz, align uint64
}

// parseELF reads header, segments, notes and code ranges from im.File, whose
// first bytes are head.
func (im *Image) parseELF(head []byte) error {
	h, err := im.parseHeader(head)
	if err != nil {
		return err
	}
	phdrs, err := im.programHeaders(h, head)
	if err != nil {
		return err
	}
	for i, p := range phdrs {
		if p.typ == ptLoad && p.memsz|p.filesz != 0 {
			if err := im.addSegment(i, p); err != nil {
				return err
			}
		}
	}
	if err := im.checkSegments(); err != nil {
		return err
	}
	sections := im.sections(h)
	im.Text = textRanges(sections)
	im.Zeroes = zeroRanges(sections, im.Segments)
	if err := im.readNotes(phdrs, sections); err != nil {
		return err
	}
	im.Linux = im.isLinux()
	return im.checkEntry()
}

func (im *Image) parseHeader(head []byte) (header, error) {
	var h header
	if len(head) < 52 || head[4] == 2 && len(head) < 64 {
		return h, bad(ErrTruncated, doCopyAgain, "is an ELF file cut off in its header, after %d bytes", len(head))
	}
	switch {
	case head[5] != 1:
		return h, bad(ErrBadELF, doGetKernel, "is a big-endian ELF file, expected one for x86")
	case head[4] == 1:
		h = header{32, uint64(le.Uint32(head[28:])), uint64(le.Uint32(head[32:])), int(le.Uint16(head[44:])), int(le.Uint16(head[48:])), int(le.Uint16(head[42:])), int(le.Uint16(head[46:]))}
		im.Entry = uint64(le.Uint32(head[24:]))
	case head[4] == 2:
		h = header{64, le.Uint64(head[32:]), le.Uint64(head[40:]), int(le.Uint16(head[56:])), int(le.Uint16(head[60:])), int(le.Uint16(head[54:])), int(le.Uint16(head[58:]))}
		im.Entry = le.Uint64(head[24:])
	default:
		return h, bad(ErrBadELF, doCopyAgain, "is an ELF file of class %d, expected 1 (32-bit) or 2 (64-bit)", head[4])
	}
	im.Class, im.Machine = h.class, Machine(le.Uint16(head[18:]))
	if im.Machine != MachineX8664 && im.Machine != Machine386 {
		return h, bad(ErrNotKernel, doGetKernel, "is an ELF file for %v, expected x86-64 or i386", im.Machine)
	}
	switch typ := le.Uint16(head[16:]); typ {
	case 1:
		return h, bad(ErrNotKernel, doGetKernel, "is an object file or kernel module, not a linked kernel")
	case 4:
		return h, bad(ErrNotKernel, doGetKernel, "is a core dump, not a kernel")
	}
	size := 32
	if h.class == 64 {
		size = 56
	}
	switch {
	case h.phnum == 0:
		return h, bad(ErrBadELF, doGetKernel, "is an ELF file without program headers, so nothing of it can be loaded")
	case h.phnum > maxProgramHeaders:
		return h, bad(ErrBadELF, doGetKernel, "is an ELF file with %d program headers, expected at most %d", h.phnum, maxProgramHeaders)
	case h.phentsize != size:
		return h, bad(ErrBadELF, doCopyAgain, "is an ELF file with program headers of %d bytes, expected %d", h.phentsize, size)
	}
	return h, nil
}

func (im *Image) programHeaders(h header, head []byte) ([]phdr, error) {
	n := uint64(h.phnum * h.phentsize)
	if h.phoff > im.Size || n > im.Size-h.phoff {
		return nil, bad(ErrTruncated, doCopyAgain, "is truncated: %d program headers at offset %#x don't fit its %d bytes", h.phnum, h.phoff, im.Size)
	}
	var b []byte
	if h.phoff+n <= uint64(len(head)) { // the usual case: they follow the header
		b = head[h.phoff : h.phoff+n]
	} else {
		b = make([]byte, n)
		if got, err := readAt(im.File, b, int64(h.phoff)); err != nil {
			return nil, err
		} else if got < len(b) {
			return nil, errShrunk()
		}
	}
	out := make([]phdr, h.phnum)
	for i := range out {
		e := b[i*h.phentsize:]
		if h.class == 64 {
			out[i] = phdr{le.Uint32(e), le.Uint32(e[4:]), le.Uint64(e[8:]), le.Uint64(e[16:]), le.Uint64(e[24:]), le.Uint64(e[32:]), le.Uint64(e[40:]), le.Uint64(e[48:])}
		} else {
			u := func(at int) uint64 { return uint64(le.Uint32(e[at:])) }
			out[i] = phdr{le.Uint32(e), le.Uint32(e[24:]), u(4), u(8), u(12), u(16), u(20), u(28)}
		}
	}
	return out, nil
}

func (im *Image) addSegment(i int, p phdr) error {
	switch {
	case p.filesz > p.memsz:
		return bad(ErrBadELF, doCopyAgain, "segment %d has p_filesz %#x above p_memsz %#x", i, p.filesz, p.memsz)
	case p.paddr+p.memsz < p.paddr:
		return bad(ErrBadELF, doCopyAgain, "segment %d at %#x with %#x bytes wraps around the address space", i, p.paddr, p.memsz)
	case p.offset+p.filesz < p.offset:
		return bad(ErrBadELF, doCopyAgain, "segment %d at file offset %#x with %#x bytes wraps around", i, p.offset, p.filesz)
	case p.filesz > 0 && p.offset+p.filesz > im.Size:
		return bad(ErrTruncated, doCopyAgain, "is truncated: segment %d needs the file's bytes up to %d, it has %d", i, p.offset+p.filesz, im.Size)
	}
	im.reloPad = max(im.reloPad, p.align)
	im.Segments = append(im.Segments, Segment{p.offset, p.filesz, p.paddr, p.memsz, p.vaddr, p.align, Flags(p.flags)})
	return nil
}

func (im *Image) checkSegments() error {
	if len(im.Segments) == 0 {
		return bad(ErrBadELF, doGetKernel, "is an ELF file without a segment to load")
	}
	slices.SortFunc(im.Segments, func(a, b Segment) int {
		switch {
		case a.Paddr < b.Paddr:
			return -1
		case a.Paddr > b.Paddr:
			return 1
		}
		return 0
	})
	for i := 1; i < len(im.Segments); i++ {
		a, b := im.Segments[i-1], im.Segments[i]
		if a.Paddr+a.Memsz > b.Paddr {
			return bad(ErrBadELF, doCopyAgain, "segments %#x-%#x and %#x-%#x overlap", a.Paddr, a.Paddr+a.Memsz-1, b.Paddr, b.Paddr+b.Memsz-1)
		}
	}
	return nil
}

// inFile reports whether guest-physical addr holds bytes of the file.
func (im *Image) inFile(addr uint64) bool {
	for i := range im.Segments {
		if s := &im.Segments[i]; addr >= s.Paddr && addr-s.Paddr < s.Filesz {
			return true
		}
	}
	return false
}

func errShrunk() error {
	return bad(ErrTruncated, "leave the file alone while it is started", "became shorter while it was read")
}
