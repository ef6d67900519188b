package kernel

import (
	"fmt"
	"sort"

	"github.com/mayfly-vm/mayfly/memory"
)

// Place says where the image goes: delta is to be added to every segment's
// Paddr and to the entry. ram is what the image may use, without what is taken;
// in any order, and touching ranges count as one. most is the same of the
// machine with the most memory that can be, ascending: what doesn't fit there
// either is no matter of memory, and the error says so.
//
// The place that the file names is used where it is RAM. Else the image moves as
// a whole within the limits of note 19, as high as they and ram allow (Xen's
// builder reads them so). The error is a *FileError of cause ErrNoPlace.
func (im *Image) Place(ram, most []memory.Range) (delta int64, err error) {
	ram = mergeRanges(ram)
	delta, why := im.place(ram)
	if why == "" {
		return delta, nil
	}
	lo, hi := im.Span()
	largest := uint64(0)
	for _, r := range ram {
		largest = max(largest, r.Size)
	}
	return 0, &FileError{
		Path: im.Path, Cause: ErrNoPlace,
		Found: fmt.Sprintf("needs guest memory %#x-%#x, which is taken or no RAM (largest free range: %d KiB), and %s", lo, hi-1, largest>>10, why),
		Do:    im.moreMemory(most),
	}
}

// place finds the place in merged RAM, or says why there is none.
func (im *Image) place(ram []memory.Range) (delta int64, why string) {
	if im.fits(ram) {
		return 0, ""
	}
	lo, hi := im.Span()
	if im.Reloc == nil {
		return 0, "it has no note 19, so it can't be loaded elsewhere"
	}
	align, lowest, highest := im.Reloc.Limits(im.reloPad)
	if align&(align-1) != 0 || align == 0 {
		return 0, fmt.Sprintf("its alignment %#x is no power of two", align)
	}
	size := hi - lo
	for i := len(ram) - 1; i >= 0; i-- {
		end := min(uint64(ram[i].Addr)+ram[i].Size, highest+1)
		if end < size {
			continue
		}
		start := (end - size) &^ (align - 1)
		if start >= max(uint64(ram[i].Addr), lowest) {
			return int64(start - lo), ""
		}
	}
	return 0, fmt.Sprintf("note 19 allows it from %#x to %#x, aligned to %#x, and there is no such RAM free", lowest, highest, align)
}

// moreMemory says how much memory the image needs, or that none would do.
func (im *Image) moreMemory(most []memory.Range) string {
	const mib = 1 << 20
	total := uint64(0)
	for _, r := range most {
		total += r.Size
	}
	enough := func(n uint64) bool { _, why := im.place(mergeRanges(firstBytes(most, n))); return why == "" }
	if !enough(total) {
		where := ""
		for i, r := range most {
			if i > 0 {
				where += " and "
			}
			where += fmt.Sprintf("%#x-%#x", uint64(r.Addr), uint64(r.Addr)+r.Size-1)
		}
		return "more memory does not help: even the largest machine has RAM for a kernel at " + where + " only; link the kernel for a place there, or make it relocatable (Linux: CONFIG_RELOCATABLE)"
	}
	n := sort.Search(int(total/mib), func(n int) bool { return enough(uint64(n) * mib) })
	return fmt.Sprintf("give the machine more memory: this kernel needs at least %d MiB", (uint64(most[0].Addr)+mib-1)/mib+uint64(n))
}

// firstBytes are the ranges that hold the first n bytes of the list.
func firstBytes(list []memory.Range, n uint64) (out []memory.Range) {
	for _, r := range list {
		r.Size = min(r.Size, n)
		out = append(out, r)
		n -= r.Size
	}
	return out
}

// fits reports whether every segment lies in RAM where it is. What lies between
// segments need not be.
func (im *Image) fits(ram []memory.Range) bool {
	for i := range im.Segments {
		s := &im.Segments[i]
		ok := false
		for _, r := range ram {
			ok = ok || r.Contains(memory.Addr(s.Paddr), s.Memsz)
		}
		if !ok {
			return false
		}
	}
	return true
}

// mergeRanges sorts a copy and joins what touches; empty and wrapping ranges go.
func mergeRanges(in []memory.Range) []memory.Range {
	var out []memory.Range
	for _, r := range in {
		if r.Size == 0 || uint64(r.Addr)+r.Size < r.Size {
			continue
		}
		at := len(out)
		for at > 0 && out[at-1].Addr > r.Addr {
			at--
		}
		out = append(out, memory.Range{})
		copy(out[at+1:], out[at:])
		out[at] = r
	}
	merged := out[:0]
	for _, r := range out {
		if k := len(merged) - 1; k >= 0 && uint64(r.Addr) <= uint64(merged[k].Addr)+merged[k].Size {
			merged[k].Size = max(merged[k].Size, uint64(r.Addr-merged[k].Addr)+r.Size)
		} else {
			merged = append(merged, r)
		}
	}
	return merged
}
