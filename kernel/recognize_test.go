package kernel

import (
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/pvh"
)

func TestRecognizeLinux(t *testing.T) {
	note := func(owner string, typ uint32, desc string) func(*craft) {
		return func(c *craft) {
			c.notes = append(c.notes, pvh.AppendNote(nil, pvh.Note{Name: owner, Type: typ, Desc: []byte(desc)})...)
		}
	}
	text := func(s string) func(*craft) { return func(c *craft) { copy(c.body[0x1000:], s) } }
	both := func(a, b func(*craft)) func(*craft) { return func(c *craft) { a(c); b(c) } }
	const banner = "Linux version 6.1.0 (me@here) (gcc) #1 SMP\n\x00"
	for _, c := range []struct {
		name   string
		change func(*craft)
		linux  bool
		why    string
	}{
		{"Linux's shape alone", func(*craft) {}, false, "neither"},
		{"GUEST_OS linux", note("Xen\x00", noteGuestOS, "linux\x00"), true, "GUEST_OS"},
		{"GUEST_OS FreeBSD", note("Xen\x00", noteGuestOS, "FreeBSD\x00"), false, "FreeBSD"},
		{"GUEST_OS wins over a text", both(note("Xen\x00", noteGuestOS, "NetBSD\x00"), text(banner)), false, "NetBSD"},
		{"GUEST_OS of another owner", note("Xem\x00", noteGuestOS, "linux\x00"), false, "neither"},
		{"build salt", note(linuxOwner, noteBuildSalt, "\x00"), true, "owner Linux"},
		{"LTO", note(linuxOwner, noteLTOInfo, "\x00\x00\x00\x00"), true, "owner Linux"},
		{"version text", text(banner), true, "6.1.0"},
		{"old version text", text("Linux version 2.6.32-5-amd64 (a@b) (gcc version 4.3.5) #1 SMP Mon\n\x00"), true, "2.6.32-5-amd64"},
		{"a text for /proc/version", text("Linux version 3.7.0 #1 SMP\n\x00"), false, "neither"},
		{"a format", text("Linux version %s (%s)\n\x00"), false, "neither"},
		{"not printable", note("Xen\x00", noteGuestOS, "\x1b]0;x\a"), false, `"]0;x"`},
	} {
		cr := newCraft()
		c.change(cr)
		linux, why := mustOpen(t, cr.elf()).RecognizeLinux()
		if linux != c.linux || !strings.Contains(why, c.why) {
			t.Errorf("%s: %t, %q; want %t, %q", c.name, linux, why, c.linux, c.why)
		}
	}
}
