package kernel

import (
	"encoding/binary"

	"github.com/mayfly-vm/mayfly/pvh"
)

// craft describes an ELF file for a test; elf makes it. The zero value of a
// field means the usual: see newCraft.
type craft struct {
	class   int
	machine uint16
	typ     uint16
	entry   uint64
	phdrs   []phdr
	body    []byte // from file offset 0x1000 on
	notes   []byte // at file offset 0x800
	noteAs  string // "PT_NOTE", "SHT_NOTE" or "" for none
	shdrs   []section
}

// newCraft is a good 64-bit kernel: code at 16 MiB, which holds 8 KiB and takes
// 16, and a PVH note.
func newCraft() *craft {
	return &craft{
		class: 64, machine: 62, typ: 2, entry: 0x1000000,
		phdrs:  []phdr{{typ: ptLoad, flags: 5, offset: 0x1000, vaddr: 0xffffffff81000000, paddr: 0x1000000, filesz: 0x2000, memsz: 0x4000, align: 0x200000}},
		body:   make([]byte, 0x2000),
		notes:  entryNote(pvh.Owner, 8, 0x1000100),
		noteAs: "PT_NOTE",
	}
}

func entryNote(owner string, size int, addr uint64) []byte {
	desc := make([]byte, 16)
	binary.LittleEndian.PutUint64(desc, addr)
	return pvh.AppendNote(nil, pvh.Note{Name: owner, Type: pvh.NotePhys32Entry, Desc: desc[:size]})
}

func relocNote(v ...uint32) []byte {
	var desc []byte
	for _, x := range v {
		desc = binary.LittleEndian.AppendUint32(desc, x)
	}
	return pvh.AppendNote(nil, pvh.Note{Name: pvh.Owner, Type: pvh.NotePhys32Reloc, Desc: desc})
}

const noteAt = 0x800

// elf lays out header, program headers, section headers at 0x400, notes, body.
func (c *craft) elf() []byte {
	phdrs, shdrs := c.phdrs, c.shdrs
	switch c.noteAs {
	case "PT_NOTE":
		phdrs = append(phdrs[:len(phdrs):len(phdrs)], phdr{typ: ptNote, flags: 4, offset: noteAt, filesz: uint64(len(c.notes)), memsz: uint64(len(c.notes)), align: 4})
	case "SHT_NOTE":
		shdrs = append(shdrs[:len(shdrs):len(shdrs)], section{typ: shtNote, offset: noteAt, size: uint64(len(c.notes)), align: 4})
	}
	b := make([]byte, 0x1000+len(c.body))
	copy(b[0x1000:], c.body)
	copy(b[noteAt:], c.notes)
	copy(b, "\x7fELF")
	b[5], b[6] = 1, 1
	put16 := func(at int, v uint16) { binary.LittleEndian.PutUint16(b[at:], v) }
	put32 := func(at int, v uint64) { binary.LittleEndian.PutUint32(b[at:], uint32(v)) }
	put64 := func(at int, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }
	put16(16, c.typ)
	put16(18, c.machine)
	put32(20, 1)
	shoff := uint64(0)
	if len(shdrs) > 0 {
		shoff = 0x400
	}
	if c.class == 32 {
		b[4] = 1
		put32(24, c.entry)
		put32(28, 52)
		put32(32, shoff)
		for i, v := range []uint16{52, 32, uint16(len(phdrs)), 40, uint16(len(shdrs))} {
			put16(40+2*i, v)
		}
		for i, p := range phdrs {
			for j, v := range []uint64{uint64(p.typ), p.offset, p.vaddr, p.paddr, p.filesz, p.memsz, uint64(p.flags), p.align} {
				put32(52+32*i+4*j, v)
			}
		}
		for i, s := range shdrs {
			for j, v := range []uint64{0, uint64(s.typ), s.flags, 0, s.offset, s.size, 0, 0, s.align, 0} {
				put32(0x400+40*i+4*j, v)
			}
		}
		return b
	}
	b[4] = 2
	put64(24, c.entry)
	put64(32, 64)
	put64(40, shoff)
	for i, v := range []uint16{64, 56, uint16(len(phdrs)), 64, uint16(len(shdrs))} {
		put16(52+2*i, v)
	}
	for i, p := range phdrs {
		at := 64 + 56*i
		put32(at, uint64(p.typ))
		put32(at+4, uint64(p.flags))
		for j, v := range []uint64{p.offset, p.vaddr, p.paddr, p.filesz, p.memsz, p.align} {
			put64(at+8+8*j, v)
		}
	}
	for i, s := range shdrs {
		at := 0x400 + 64*i
		put32(at+4, uint64(s.typ))
		for j, v := range []uint64{s.flags, 0, s.offset, s.size, 0, s.align} {
			put64(at+8+8*j, v)
		}
	}
	return b
}

// bzImageOf wraps a payload as the kernel's build does: setup code of 2 sectors,
// then the payload, followed by its unpacked size unless it is gzip, which has it.
func bzImageOf(payload []byte, size uint32, isGzip bool) []byte {
	b := make([]byte, 3*512+0x40)
	b[setupSectors] = 2
	copy(b[0x1fe:], "\x55\xaa\xeb\x6aHdrS")
	le.PutUint16(b[setupVersion:], 0x20f)
	le.PutUint16(b[setupKernel:], 0x300)
	copy(b[0x500:], "6.1.0-test (me@here) #1 SMP\x00")
	le.PutUint16(b[setupXLF:], 1)
	b = append(b, payload...)
	if !isGzip {
		b = le.AppendUint32(b, size)
	}
	le.PutUint32(b[setupPayload:], 0x40)
	le.PutUint32(b[setupLength:], uint32(len(b)-3*512-0x40))
	le.PutUint32(b[setupInitSize:], 16<<20)
	return append(b, "after the payload"...)
}
