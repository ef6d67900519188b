package kernel

import (
	"fmt"
	"strings"
)

// Report is what `mayfly inspect` shows of a kernel. Addresses are
// guest-physical, sizes bytes.
type Report struct {
	Path        string          `json:"path"`
	Format      Format          `json:"format"`
	Compression string          `json:"compression,omitempty"`
	Version     string          `json:"version,omitempty"`
	Class       int             `json:"class"` // 32 or 64
	Machine     string          `json:"machine"`
	Entry       Address         `json:"entry"` // e_entry
	Linux       bool            `json:"linux"` // e_entry is that of the Linux 64-bit protocol
	PVHEntry    *Address        `json:"pvhEntry,omitempty"`
	Relocation  *Relocation     `json:"relocation,omitempty"`
	Lowest      Address         `json:"lowest"`  // first byte of memory taken
	Highest     Address         `json:"highest"` // last byte
	Segments    []ReportSegment `json:"segments"`
	Notes       []ReportNote    `json:"notes,omitempty"`
	Protocol    string          `json:"protocol,omitempty"` // that auto would use
	Reason      string          `json:"reason"`             // why that, or why none
	Guest       string          `json:"guest"`              // "Linux" or "other"
	GuestReason string          `json:"guestReason"`        // why it is taken for that
}

// Address is a number that JSON shows as a string in hex: JSON readers round
// large numbers, and people read addresses so.
type Address uint64

// MarshalText implements encoding.TextMarshaler.
func (a Address) MarshalText() ([]byte, error) { return []byte(fmt.Sprintf("%#x", uint64(a))), nil }

// Relocation is note 19 with its defaults filled in.
type Relocation struct {
	Align   Address `json:"align"`
	Lowest  Address `json:"lowest"`  // start
	Highest Address `json:"highest"` // last byte
}

// ReportSegment is a Segment.
type ReportSegment struct {
	Paddr    Address `json:"paddr"`
	Memsz    uint64  `json:"memsz"`
	Filesz   uint64  `json:"filesz"`
	Offset   Address `json:"offset"`
	Vaddr    Address `json:"vaddr"`
	Align    Address `json:"align"`
	Flags    string  `json:"flags"`    // such as "R-X"
	Mappable bool    `json:"mappable"` // by 4 KiB pages of the file
}

// ReportNote is an ELF note.
type ReportNote struct {
	Owner string `json:"owner"`
	Type  uint32 `json:"type"`
	Size  int    `json:"size"` // of the descriptor
	Name  string `json:"name,omitempty"`
}

// Inspect reports what the image is. It may search the file for its version.
func (im *Image) Inspect() Report {
	lo, hi := im.Span()
	r := Report{
		Path: im.Path, Format: im.Format, Compression: im.Compression, Version: im.Version(),
		Class: im.Class, Machine: im.Machine.String(), Entry: Address(im.Entry), Linux: im.Linux,
		PVHEntry: (*Address)(im.PVH), Lowest: Address(lo), Highest: Address(hi - 1),
	}
	if im.Reloc != nil {
		align, lowest, highest := im.Reloc.Limits(im.reloPad)
		r.Relocation = &Relocation{Address(align), Address(lowest), Address(highest)}
	}
	for i := range im.Segments {
		s := &im.Segments[i]
		r.Segments = append(r.Segments, ReportSegment{
			Address(s.Paddr), s.Memsz, s.Filesz, Address(s.Offset), Address(s.Vaddr), Address(s.Align), s.Flags.String(), s.Mappable(0, 4096),
		})
	}
	for _, n := range im.notes {
		owner := printable(strings.TrimRight(n.owner, "\x00"))
		r.Notes = append(r.Notes, ReportNote{owner, n.typ, n.size, noteName(n)})
	}
	linux, why := im.RecognizeLinux()
	if r.Guest, r.GuestReason = "other", why; linux {
		r.Guest = "Linux"
	}
	p, reason, err := im.Choose(BootAuto)
	if err != nil {
		r.Reason = err.Error()
		return r
	}
	r.Protocol, r.Reason = string(p), reason
	return r
}

// String shows flags as "RWX", with "-" for those that are not set.
func (f Flags) String() string {
	b := []byte("---")
	for i, bit := range [...]Flags{Read, Write, Exec} {
		if f&bit != 0 {
			b[i] = "RWX"[i]
		}
	}
	return string(b)
}

// noteName names the notes that matter at boot and those that distinguish kernels.
func noteName(n noteInfo) string {
	switch {
	case n.owner == "Xen\x00" && n.typ == 18:
		return "PHYS32_ENTRY"
	case n.owner == "Xen\x00" && n.typ == 19:
		return "PHYS32_RELOC"
	case n.owner == "Xen\x00" && n.typ == noteGuestOS:
		return "GUEST_OS"
	case n.owner == "GNU\x00" && n.typ == 3:
		return "BUILD_ID"
	case n.owner == linuxOwner && n.typ == noteBuildSalt:
		return "BUILD_SALT"
	case n.owner == linuxOwner && n.typ == noteLTOInfo:
		return "LTO_INFO"
	}
	return ""
}
