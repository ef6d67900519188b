package kernel

import "slices"

// section is what is needed of a section header (gABI, "Sections").
type section struct {
	typ                 uint32
	flags               uint64
	offset, size, align uint64
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
			out[i] = section{le.Uint32(e[4:]), le.Uint64(e[8:]), le.Uint64(e[24:]), le.Uint64(e[32:]), le.Uint64(e[48:])}
		} else {
			u := func(at int) uint64 { return uint64(le.Uint32(e[at:])) }
			out[i] = section{le.Uint32(e[4:]), u(8), u(16), u(20), u(32)}
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
