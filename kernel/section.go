package kernel

import "slices"

// section is what is needed of a section header (gABI, "Sections").
type section struct {
	typ                       uint32
	flags                     uint64
	addr, offset, size, align uint64
}

// sections reads the section headers. They are optional in what can be loaded,
// so those that are missing, cut off or malformed are no error: none is returned.
func (im *Image) sections(h header) []section {
	want := 40
	if h.class == 64 {
		want = 64
	}
	n := uint64(h.shnum * want)
	if h.shnum == 0 || h.shnum > maxSections || h.shentsize != want || h.shoff > im.Size || n > im.Size-h.shoff {
		return nil
	}
	b := make([]byte, n)
	if got, err := readAt(im.File, b, int64(h.shoff)); err != nil || got < len(b) {
		return nil
	}
	out := make([]section, h.shnum)
	for i := range out {
		e := b[i*want:]
		if h.class == 64 {
			out[i] = section{le.Uint32(e[4:]), le.Uint64(e[8:]), le.Uint64(e[16:]), le.Uint64(e[24:]), le.Uint64(e[32:]), le.Uint64(e[48:])}
		} else {
			u := func(at int) uint64 { return uint64(le.Uint32(e[at:])) }
			out[i] = section{le.Uint32(e[4:]), u(8), u(12), u(16), u(20), u(32)}
		}
	}
	return out
}

// textRanges are the file ranges of the sections with code.
func textRanges(sections []section) []FileRange {
	var out []FileRange
	for _, s := range sections {
		if s.flags&shfExecInstr != 0 && s.typ == 1 && s.size > 0 && s.offset+s.size > s.offset {
			out = append(out, FileRange{s.offset, s.size})
		}
	}
	return mergeFileRanges(out)
}

// zeroRanges are the file ranges of sections without contents: where one with
// contents follows in the same segment, the linker fills the file up with zeroes.
// Such a section's offset says nothing, its address does. Those that share bytes
// with contents are left out.
func zeroRanges(sections []section, segments []Segment) []FileRange {
	var out []FileRange
	for _, s := range sections {
		if s.typ != shtNoBits || s.flags&shfAlloc == 0 || s.flags&shfTLS != 0 || s.size < minZeroes || s.addr+s.size < s.addr {
			continue
		}
		for i := range segments {
			g := &segments[i]
			if s.addr < g.Vaddr || s.addr-g.Vaddr >= g.Filesz {
				continue
			}
			from := g.Offset + (s.addr - g.Vaddr)
			r := FileRange{from, min(s.size, g.Offset+g.Filesz-from)}
			if !hasContents(sections, r) {
				out = append(out, r)
			}
			break
		}
	}
	return mergeFileRanges(out)
}

// minZeroes is the least length for which a range is worth a read of its own.
const minZeroes = 64 << 10

func hasContents(sections []section, r FileRange) bool {
	for _, s := range sections {
		if s.typ != shtNoBits && s.typ != 0 && s.offset < r.Offset+r.Size && (s.offset+s.size > r.Offset || s.offset+s.size < s.offset) {
			return true
		}
	}
	return false
}

// mergeFileRanges sorts ranges and joins those that touch.
func mergeFileRanges(out []FileRange) []FileRange {
	slices.SortFunc(out, func(a, b FileRange) int {
		if a.Offset < b.Offset {
			return -1
		}
		return 1
	})
	merged := out[:0]
	for _, r := range out {
		if k := len(merged) - 1; k >= 0 && r.Offset <= merged[k].Offset+merged[k].Size {
			merged[k].Size = max(merged[k].Size, r.Offset+r.Size-merged[k].Offset)
		} else {
			merged = append(merged, r)
		}
	}
	return merged
}
