package flags

// fields are the flags, or operands, that set the fields of a mayfly.Config which errors name.
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
	"Nets":        "--net",
	"Consoles":    "--console",
	"Watchdog":    "--watchdog",
	"SMBIOS":      "--smbios",
}

// OfField names the flag that sets a field of a mayfly.Config.
func OfField(field string) string {
	if flag, ok := fields[field]; ok {
		return flag
	}
	return field
}
