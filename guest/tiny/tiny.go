// Package tiny holds the smallest PVH guest, one that writes the byte 'M' to COM1 and halts, and puts the same few
// instructions at the entry of other kernels.
//
// Benchmarks use both: a monitor's time from exec to that byte is all its own, because the guest does nothing else.
// The tiny guest shows the fixed cost; a patched kernel of many megabytes shows what loading adds.
package tiny

import (
	"debug/elf"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/mayfly-vm/mayfly/pvh"
)

// ELF is the guest: a PVH ELF64 of one page at 1 MiB, built from tiny.S by the Makefile in this directory.
//
//go:embed tiny.elf
var ELF []byte

// Mark is the byte that the guest writes to COM1 (port 0x3F8).
const Mark = 'M'

// noteLimit caps what is read of a PT_NOTE; Linux's has a few hundred bytes.
const noteLimit = 1 << 20

// ErrNoEntry is returned for a file without a PVH entry note, or whose entry lies in no segment's file bytes.
var ErrNoEntry = errors.New("no usable PVH entry")

// Code returns the guest's instructions: position-independent 32-bit code, from the entry of ELF to its end.
func Code() []byte {
	entry := binary.LittleEndian.Uint64(ELF[24:])   // e_entry
	base := binary.LittleEndian.Uint64(ELF[64+16:]) // p_vaddr of the only PT_LOAD
	return ELF[entry-base : len(ELF) : len(ELF)]
}

// PatchEntry copies the kernel at in, an ELF with a PVH entry note, to a new file out and overwrites the code at its
// PVH entry with Code. Nothing else changes, so a monitor has as much to load as before. An existing out is replaced.
func PatchEntry(in, out string) error {
	src, err := os.Open(in)
	if err != nil {
		return fmt.Errorf("tiny: %w", err)
	}
	defer src.Close()
	off, err := entryOffset(src)
	if err != nil {
		return fmt.Errorf("tiny: %s: %w", in, err)
	}
	// A temporary name first: in and out may be the same file, and no half-written kernel may stay.
	dst, err := os.CreateTemp(filepath.Dir(out), ".tiny-*")
	if err != nil {
		return fmt.Errorf("tiny: %w", err)
	}
	defer os.Remove(dst.Name())
	defer dst.Close()
	if _, err := io.Copy(dst, src); err != nil {
		return fmt.Errorf("tiny: copy %s: %w", in, err)
	}
	if _, err := dst.WriteAt(Code(), off); err != nil {
		return fmt.Errorf("tiny: patch %s: %w", out, err)
	}
	if err := dst.Chmod(0o644); err != nil {
		return fmt.Errorf("tiny: %w", err)
	}
	if err := dst.Close(); err != nil {
		return fmt.Errorf("tiny: write %s: %w", out, err)
	}
	if err := os.Rename(dst.Name(), out); err != nil {
		return fmt.Errorf("tiny: %w", err)
	}
	return nil
}

// entryOffset returns the file offset of the code at the PVH entry.
func entryOffset(r io.ReaderAt) (int64, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return 0, err
	}
	entry, err := entryAddr(f)
	if err != nil {
		return 0, err
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || entry < p.Paddr || entry-p.Paddr >= p.Filesz {
			continue
		}
		if p.Filesz-(entry-p.Paddr) < uint64(len(Code())) {
			break
		}
		return int64(p.Off + (entry - p.Paddr)), nil
	}
	return 0, fmt.Errorf("%w: entry %#x has no room for %d bytes of code in any PT_LOAD", ErrNoEntry, entry, len(Code()))
}

// entryAddr returns the physical address that the PVH entry note names.
func entryAddr(f *elf.File) (uint64, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		b := make([]byte, min(p.Filesz, noteLimit))
		n, err := p.ReadAt(b, 0)
		if err != nil && err != io.EOF {
			return 0, fmt.Errorf("read PT_NOTE: %w", err)
		}
		notes, err := pvh.ParseNotes(b[:n], p.Align)
		if err != nil {
			return 0, err
		}
		entry, err := pvh.FindEntry(notes)
		if err != nil {
			return 0, err
		}
		if entry != nil {
			return entry.Addr, nil
		}
	}
	return 0, fmt.Errorf("%w: no ELF note of owner Xen and type 18; is this an uncompressed vmlinux built with CONFIG_PVH=y?", ErrNoEntry)
}
