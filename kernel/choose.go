package kernel

import "fmt"

// Boot is what the user asks for.
type Boot uint8

// Ways to boot.
const (
	BootAuto  Boot = iota // PVH where it works, else the Linux protocol
	BootPVH               // PVH only
	BootLinux             // the Linux 64-bit protocol only
)

// String is the name on the command line.
func (b Boot) String() string {
	switch b {
	case BootAuto:
		return "auto"
	case BootPVH:
		return "pvh"
	case BootLinux:
		return "linux"
	}
	return fmt.Sprintf("Boot(%d)", uint8(b))
}

// ParseBoot reads a name.
func ParseBoot(s string) (Boot, error) {
	for b := BootAuto; b <= BootLinux; b++ {
		if s == b.String() {
			return b, nil
		}
	}
	return 0, fmt.Errorf("unknown way to boot %q: it is auto, pvh or linux", s)
}

// Protocol is how a kernel is entered.
type Protocol uint8

// Protocols.
const (
	PVH     Protocol = iota // at *Image.PVH, in 32-bit mode
	Linux64                 // at Image.Entry, in long mode
)

// String names the protocol.
func (p Protocol) String() string {
	if p == PVH {
		return "PVH"
	}
	return "Linux 64-bit"
}

// Choose says which protocol is used and, for a person, why. The error is a
// *FileError of cause ErrNoProtocol that says what was found.
func (im *Image) Choose(want Boot) (p Protocol, reason string, err error) {
	switch {
	case want == BootLinux && im.Linux:
		return Linux64, "asked for; its ELF entry is Linux's 64-bit one", nil
	case want == BootLinux && im.entersByELF():
		return Linux64, "asked for; it isn't recognised as Linux, and is entered at its ELF entry all the same", nil
	case want == BootLinux:
		return 0, "", im.noProtocol("the Linux 64-bit protocol", "give an x86-64 ELF file whose entry is a guest-physical address within it, or have it entered by another protocol")
	case im.PVH != nil && want == BootPVH:
		return PVH, "asked for; it has a PVH entry (note 18)", nil
	case want == BootPVH:
		return 0, "", im.noProtocol("PVH", "build it with CONFIG_PVH=y, or let the protocol be chosen automatically")
	case im.PVH != nil && im.Linux && im.xenOnly():
		return Linux64, "its PVH entry is for Xen only, as Linux " + im.Release() + " has it (4.11 to 4.20)", nil
	case im.PVH != nil:
		return PVH, "it has a PVH entry (note 18)", nil
	case im.Linux:
		return Linux64, "it has no PVH entry (CONFIG_PVH is off), but is an x86-64 Linux", nil
	}
	return 0, "", im.noProtocol("any boot protocol", "give a kernel built with CONFIG_PVH=y, or a 64-bit x86 Linux")
}

// entersByELF says whether the ELF entry can be that of the Linux 64-bit
// protocol, when somebody says that it is: 64-bit code at a guest-physical address.
func (im *Image) entersByELF() bool {
	return im.Class == 64 && im.Machine == MachineX8664 && im.inFile(im.Entry)
}

func (im *Image) noProtocol(what, do string) error {
	found := fmt.Sprintf("cannot be booted by %s: it is a %d-bit %v ELF file with its entry at %#x", what, im.Class, im.Machine, im.Entry)
	switch {
	case im.PVH != nil:
		found += fmt.Sprintf(" and a PVH entry at %#x", *im.PVH)
	case im.foreign != "":
		found += fmt.Sprintf(`, without a PVH entry (CONFIG_PVH): its note 18 is of owner %q, not "Xen"`, printable(im.foreign))
	default:
		found += ", without a PVH entry (CONFIG_PVH)"
	}
	if !im.Linux && im.Class == 64 {
		found += ", and not an x86-64 Linux"
	}
	if im.Class == 64 && !im.inFile(im.Entry) {
		found += ": no segment has bytes of the file at its entry"
	}
	return &FileError{Path: im.Path, Cause: ErrNoProtocol, Found: found, Do: do}
}

// xenOnly says whether the PVH entry leads into code that asserts a Xen host:
// so in Linux 4.11 to 4.20, where CONFIG_PVH was a part of CONFIG_XEN. The notes
// answer for nearly every kernel; only then the version is looked for.
func (im *Image) xenOnly() bool {
	switch {
	case im.Reloc != nil: // 6.12 and newer
		return false
	case !im.hasNote("Xen\x00", noteGuestOS): // CONFIG_XEN off, so 5.0 and newer
		return false
	case im.hasNote(linuxOwner, noteLTOInfo): // in every kernel since 2021
		return false
	}
	major, minor, ok := release(im.Version())
	return ok && major == 4 && minor >= 11
}
