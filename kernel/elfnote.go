package kernel

import (
	"fmt"
	"strings"

	"github.com/mayfly-vm/mayfly/pvh"
)

// noteInfo is a note as inspect shows it.
type noteInfo struct {
	owner string
	typ   uint32
	size  int
}

// readNotes searches for notes 18 and 19 in the PT_NOTE segments, and in the
// SHT_NOTE sections of a file whose segments name no entry: a linker script
// without a note segment leaves only these.
func (im *Image) readNotes(phdrs []phdr, sections []section) error {
	for i, p := range phdrs {
		if p.typ == ptNote && p.filesz > 0 {
			if err := im.readNotesAt(fmt.Sprintf("segment %d", i), p.offset, p.filesz, p.align); err != nil {
				return err
			}
		}
	}
	if im.PVH != nil {
		return nil
	}
	for i, s := range sections {
		if s.typ == shtNote && s.size > 0 {
			if err := im.readNotesAt(fmt.Sprintf("section %d", i), s.offset, s.size, s.align); err != nil {
				return err
			}
		}
	}
	return nil
}

func (im *Image) readNotesAt(where string, off, size, align uint64) error {
	switch {
	case off > im.Size || size > im.Size-off:
		return bad(ErrTruncated, doCopyAgain, "is truncated: the notes of %s reach to %d, the file has %d bytes", where, off+size, im.Size)
	case size > maxNoteBytes-im.noteBytes: // of all together: many headers can name the same bytes
		return bad(ErrBadNote, doCopyAgain, "has %d bytes of notes up to %s, expected at most %d", im.noteBytes+size, where, maxNoteBytes)
	}
	im.noteBytes += size
	b := make([]byte, size)
	if n, err := readAt(im.File, b, int64(off)); err != nil {
		return err
	} else if n < len(b) {
		return errShrunk()
	}
	notes, err := pvh.ParseNotes(b, align)
	if err != nil {
		return &FileError{Cause: ErrBadNote, Found: "has notes in " + where + " that cannot be read", Err: err, Do: doCopyAgain}
	}
	return im.takeNotes(notes)
}

func (im *Image) takeNotes(notes []pvh.Note) error {
	fail := func(err error) error {
		return &FileError{Cause: ErrBadNote, Found: "has a PVH note that cannot be used", Err: err, Do: "build the kernel again with CONFIG_PVH=y, or enter it by the Linux 64-bit protocol if it is Linux"}
	}
	entry, err := pvh.FindEntry(notes)
	if err != nil {
		return fail(err)
	}
	reloc, err := pvh.FindReloc(notes)
	if err != nil {
		return fail(err)
	}
	if entry != nil {
		if im.PVH != nil && *im.PVH != entry.Addr {
			return fail(fmt.Errorf("two entries, %#x and %#x", *im.PVH, entry.Addr))
		}
		im.PVH = &entry.Addr
	}
	if reloc != nil {
		im.Reloc = reloc
	}
	if im.notes == nil {
		im.notes = make([]noteInfo, 0, len(notes))
	}
	for _, n := range notes {
		im.notes = append(im.notes, noteInfo{n.Name, n.Type, len(n.Desc)})
		if n.Name == pvh.Owner && n.Type == noteGuestOS {
			im.takeGuestOS(n.Desc)
		}
		if n.Type == pvh.NotePhys32Entry && n.Name != pvh.Owner && n.Name != linuxOwner {
			im.foreign = strings.TrimRight(n.Name, "\x00")
		}
	}
	return nil
}

// checkEntry refuses a PVH entry at which the file has nothing to run.
func (im *Image) checkEntry() error {
	if im.PVH != nil && !im.inFile(*im.PVH) {
		lo, hi := im.Span()
		return bad(ErrBadNote, doCopyAgain, "has its PVH entry at %#x, where no segment has bytes of the file (segments lie in %#x-%#x)", *im.PVH, lo, hi-1)
	}
	return nil
}

// Notes by which kinds of Linux differ (include/linux/elfnote-lto.h,
// include/xen/interface/elfnote.h).
const (
	linuxOwner  = "Linux\x00"
	noteLTOInfo = 0x101 // years younger than 4.20
	noteGuestOS = 6     // of owner Xen: present iff CONFIG_XEN
)

func (im *Image) hasNote(owner string, typ uint32) bool {
	for _, n := range im.notes {
		if n.owner == owner && n.typ == typ {
			return true
		}
	}
	return false
}

// kernelMap is __START_KERNEL_map: where x86-64 Linux is linked, less its
// physical address (arch/x86/include/asm/page_64_types.h).
const kernelMap = 0xffffffff80000000

// isLinux reports whether e_entry is Linux's startup_64. FreeBSD and NetBSD are
// linked at the same place, but their e_entry is virtual.
func (im *Image) isLinux() bool {
	if !im.entersByELF() {
		return false
	}
	if im.Format == FormatBzImage {
		return true
	}
	for i := range im.Segments {
		s := &im.Segments[i]
		if s.Executable() && im.Entry-s.Paddr < s.Filesz {
			return s.Vaddr == s.Paddr+kernelMap
		}
	}
	return false
}
