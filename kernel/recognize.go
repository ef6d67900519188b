package kernel

import "strings"

// RecognizeLinux reports whether the kernel is a Linux and, for a person, by what.
// Notes answer for nearly every kernel: those of owner Linux, which each Linux
// since 4.19 has, and Xen's GUEST_OS. Only a file without them is searched for
// Linux's version text, when first asked.
func (im *Image) RecognizeLinux() (linux bool, why string) {
	switch {
	case im.hasNote(linuxOwner, noteBuildSalt) || im.hasNote(linuxOwner, noteLTOInfo):
		return true, "it has notes of owner Linux"
	case im.guestOS == "linux":
		return true, `its Xen note GUEST_OS says "linux"`
	case im.guestOS != "":
		return false, `its Xen note GUEST_OS says "` + im.guestOS + `"`
	case im.Format == FormatBzImage && im.Version() != "":
		return true, "it is a bzImage of version " + im.Release()
	case builtByLinux(im.Version()):
		return true, "it holds the text “Linux version " + im.Release() + "”"
	}
	return false, "neither a note nor a version text of Linux was found"
}

// builtByLinux reports whether a version is followed by who built it, as Linux writes
// it: "6.12.5 (user@host) …" (init/version.c). Other kernels hold "Linux version" for
// programs that read /proc/version.
func builtByLinux(version string) bool {
	name, rest, _ := strings.Cut(version, " ")
	by, _, closed := strings.Cut(rest, ")")
	_, _, ok := release(name)
	return ok && closed && strings.HasPrefix(by, "(") && strings.Contains(by, "@")
}

const noteBuildSalt = 0x100 // include/linux/build-salt.h, since 4.19

// takeGuestOS keeps the name that a Xen GUEST_OS note gives.
func (im *Image) takeGuestOS(desc []byte) {
	im.guestOS = printable(strings.TrimRight(string(desc[:min(len(desc), 64)]), "\x00"))
}
