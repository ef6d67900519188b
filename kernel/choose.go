package kernel

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/enum"
)

// Boot is how a kernel is to be entered.
type Boot string

// Ways to boot.
const (
	BootAuto  Boot = "auto"  // the default: PVH where it works, else the Linux protocol
	BootPVH   Boot = "pvh"   // PVH only
	BootLinux Boot = "linux" // the Linux 64-bit protocol only
)

// Boots are the values of a Boot other than "", which is BootAuto.
var Boots = []Boot{BootAuto, BootPVH, BootLinux}

// Check is an error that lists the values, where b is none of them.
func (b Boot) Check() error { return enum.Check(b, Boots) }

// Protocol is how a kernel is entered, as people read it.
type Protocol string

// Protocols.
const (
	PVH     Protocol = "PVH"          // at *Image.PVH, in 32-bit mode
	Linux64 Protocol = "Linux 64-bit" // at Image.Entry, in long mode
)

// Choose says which protocol is used and, for a person, why. The error is that of
// Check, or a *FileError of cause ErrNoProtocol that says what was found.
func (im *Image) Choose(want Boot) (p Protocol, reason string, err error) {
	if err := want.Check(); err != nil {
		return "", "", fmt.Errorf("boot: %w", err)
	}
	switch {
	case want == BootLinux && im.Linux:
		return Linux64, "asked for; its ELF entry is Linux's 64-bit one", nil
	case want == BootLinux && im.entersByELF():
		return Linux64, "asked for; it isn't recognised as Linux, and is entered at its ELF entry all the same", nil
	case want == BootLinux:
		return "", "", im.noProtocol("the Linux 64-bit protocol", "give an x86-64 ELF file whose entry is a guest-physical address within it, or have it entered by another protocol")
	case im.PVH != nil && want == BootPVH:
		return PVH, "asked for; it has a PVH entry (note 18)", nil
	case want == BootPVH:
		return "", "", im.noProtocol("PVH", "build it with CONFIG_PVH=y, or let the protocol be chosen automatically")
	case im.PVH != nil && im.Linux && im.xenOnly():
		return Linux64, "its PVH entry is for Xen only, as Linux " + im.Release() + " has it (4.11 to 4.20)", nil
	case im.PVH != nil:
		return PVH, "it has a PVH entry (note 18)", nil
	case im.Linux:
		return Linux64, "it has no PVH entry (CONFIG_PVH is off), but is an x86-64 Linux", nil
	}
	return "", "", im.noProtocol("any boot protocol", "give a kernel built with CONFIG_PVH=y, or a 64-bit x86 Linux")
}

// entersByELF reports whether the ELF entry can be that of the Linux 64-bit
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

// xenOnly reports whether the PVH entry leads into code that asserts a Xen host:
// so in Linux 4.11 to 4.20, where CONFIG_PVH was a part of CONFIG_XEN. The notes
// answer for nearly every kernel; only then is the version searched for.
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
