package flags

import (
	"errors"
	"fmt"

	"github.com/mayfly-vm/mayfly"
)

// fields has, for each field of a mayfly.Config that errors name, the flag, flags or operand that set it.
var fields = map[string]string{
	"Kernel":      "KERNEL",
	"Cmdline":     "--cmdline",
	"CPUs":        "--cpus",
	"Memory":      "--memory",
	"Boot":        "--boot",
	"Platform":    "--platform",
	"Load":        "--load",
	"HugePages":   "--hugepages",
	"Prealloc":    "--prealloc",
	"HostReserve": "--host-reserve",
	"Nested":      "--nested",
	"PMU":         "--pmu",
	"OnReboot":    "--on-reboot",
	"Bus":         "--bus",
	"Devices":     "--disk, --net, --vsock, --console, --rng",
	"Nets":        "--net",
	"Consoles":    "--console",
	"Watchdog":    "--watchdog",
	"SMBIOS":      "--smbios",
}

// OfField names the flags that set a field of a mayfly.Config.
func OfField(field string) string {
	if flag, ok := fields[field]; ok {
		return flag
	}
	return field
}

// ExplainCmdline adds to an error about the length of the guest's command line how much of it the defaults are.
func (o *Run) ExplainCmdline(err error) error {
	var bad *mayfly.ConfigError
	if o.Cmdline.only || !errors.As(err, &bad) || bad.Field != "Cmdline" {
		return err
	}
	defaults := new(Cmdline).String(o.Config.Bus, o.terminalName())
	return &mayfly.ConfigError{Field: bad.Field, Msg: fmt.Sprintf("%s (%d bytes are the defaults, which --cmdline-only leaves out)", bad.Msg, len(defaults))}
}
