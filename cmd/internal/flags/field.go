package flags

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mayfly-vm/mayfly"
)

// fields has, for each field of a mayfly.Config that errors name, the flag, flags or operand that set it.
var fields = map[string]string{
	"Kernel":            "KERNEL",
	"Cmdline":           "--cmdline",
	"CPUs":              "--cpus",
	"Processor":         "--cpu",
	"CountInstructions": "--icount",
	"Memory":            "--memory",
	"Boot":              "--boot",
	"Platform":          "--platform",
	"Load":              "--load",
	"HugePages":         "--hugepages",
	"Prealloc":          "--prealloc",
	"HostReserve":       "--host-reserve",
	"Nested":            "--nested",
	"PMU":               "--pmu",
	"OnReboot":          "--on-reboot",
	"Bus":               "--bus",
	"Devices":           "--disk, --net, --vsock, --console, --rng", // one without a device: see Named
	"Watchdog":          "--watchdog",
	"SMBIOS":            "--smbios",
}

// Named is an error of a mayfly.Config that names the flag in place of the field: of a device, its own flag.
func Named(e *mayfly.ConfigError) error {
	var d *mayfly.DeviceError
	if e.Field == "Devices" && errors.As(e, &d) {
		kind, _, _ := strings.Cut(d.Device, " ")
		return fmt.Errorf("--%s: %w", kind, d.Err)
	}
	flag, ok := fields[e.Field]
	if !ok {
		flag = e.Field
	}
	return errors.New(flag + ": " + e.Msg)
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
