package layout

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/enum"
	"github.com/mayfly-vm/mayfly/internal/kernelparams"
	"github.com/mayfly-vm/mayfly/kernel"
)

// Platform is for which sort of guest the machine is made.
type Platform string

// Platforms; PlatformAuto is PlatformLinux for a kernel that is recognised as Linux,
// else PlatformGeneric.
const (
	PlatformAuto Platform = "auto"
	// PlatformLinux has an I/O APIC with the pins of the machine's devices alone: a
	// Linux starts faster with it.
	PlatformLinux Platform = "linux"
	// PlatformGeneric has an I/O APIC as a PC's: pin N is GSI N, and there are 24 at
	// least. 0xFC000 to 0xFFFFF is left empty.
	PlatformGeneric Platform = "generic"
)

// Check is an error that lists the values, where it is none of them.
func (v Platform) Check() error {
	return enum.Check(v, []Platform{PlatformAuto, PlatformLinux, PlatformGeneric})
}

// maxLinuxCmdline is how much of a command line Linux copies, its NUL excepted
// (COMMAND_LINE_SIZE, arch/x86/include/asm/setup.h). By PVH it copies that much of a
// longer one and runs on over the missing NUL: it stops before its first message.
const maxLinuxCmdline = 2047

func (p *Plan) choosePlatform(want Platform, im *kernel.Image) {
	if p.Platform, p.PlatformWhy = want, "asked for"; want == PlatformLinux || want == PlatformGeneric {
		return
	}
	linux, why := im.RecognizeLinux()
	p.Platform, p.PlatformWhy = PlatformGeneric, why
	if linux {
		p.Platform = PlatformLinux
	}
}

// checkCmdline refuses a command line that the guest, as far as it is known, would
// not take. It counts what the machine has appended.
func (p *Plan) checkCmdline(given int, im *kernel.Image) error {
	most, whose := MaxCmdline, "fit into the machine's memory for it"
	if p.Platform == PlatformLinux {
		most, whose = maxLinuxCmdline, "are taken by Linux, which stops at a longer one without a message"
		if n := im.CmdlineSize(); n != 0 {
			most = int(min(n, MaxCmdline))
		}
	}
	n := len(p.Cmdline)
	if n <= most {
		return nil
	}
	appended := ""
	if n > given {
		appended = fmt.Sprintf(", %d of which the machine appended to name its devices", n-given)
	}
	return &ConfigError{Field: "Cmdline", Msg: fmt.Sprintf("%d bytes long%s: at most %d %s; shorten it by %d", n, appended, most, whose, n-most)}
}

// withoutACPI says whether the guest is told not to read ACPI's tables.
func withoutACPI(cmdline string) bool {
	for p := range kernelparams.All(cmdline) {
		if p.Name == "acpi" && p.Value == "off" {
			return true
		}
	}
	return false
}
