package layout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mayfly-vm/mayfly/internal/kernelparams"
)

// Effects of parameters with which a Linux starts on other machines and is deaf on
// this one, which has neither PIC nor PIT, nor interrupt pins of PCI.
const (
	noIOAPIC    = "Linux then does not use the I/O APIC, and the machine has no other controller for pins: no interrupt of %s arrives"
	noLocalAPIC = "the machine's interrupts all come by local APICs, timers included: none arrives"
	noFrequency = "Linux then measures the processor's frequency with a PIT, which the machine does not have: unless CPUID leaf 0x15 gives it, Linux stops before its first message"
	noTables    = "the machine's ACPI tables are named by an XSDT alone: Linux finds none of them"
	noPower     = "power button and power-off are described by ACPI: a press is not noticed, and a power-off halts"
	noWindows   = "Linux then moves PCI devices to addresses that the bus does not pass on: none of them works"
	noBus       = "the machine's devices are on the PCI bus: Linux finds none of them"
	noMessages  = "PCI devices have no other interrupts: no driver of theirs starts"
	noUART      = "Linux then drives no serial port: nothing is shown on ttyS0 and nothing read"
	noConsole   = "the machine has no such console: nothing is shown on it, and what init writes may be lost"
)

// findWarnings looks for parameters of a Linux guest that make it deaf on this
// machine. The line stays as it is: it may be meant.
func (p *Plan) findWarnings(hvcs int) {
	if p.Platform != PlatformLinux {
		return
	}
	add := func(word, effect string) {
		if w := word + ": " + effect; !slices.Contains(p.Warnings, w) {
			p.Warnings = append(p.Warnings, w)
		}
	}
	for a := range kernelparams.All(p.Cmdline) {
		switch a.Name {
		case "pci":
			for option := range strings.SplitSeq(a.Value, ",") {
				if effect := p.pciEffect(option); effect != "" {
					add("pci="+option, effect)
				}
			}
		default:
			if effect := p.effect(a); effect != "" {
				add(a.Text, effect)
			}
		}
	}
	if a, ok := kernelparams.Last(p.Cmdline, "8250.nr_uarts"); ok && isZero(a.Value) && hasConsole(p.Cmdline, "ttyS0") {
		add(a.Text, noUART)
	}
	for _, word := range lostConsoles(p.Cmdline, hvcs) {
		add(word, noConsole)
	}
}

// effect is what a parameter does to this machine that it should not; "": nothing.
func (p *Plan) effect(a kernelparams.Param) string {
	switch a.Name {
	case "noapic", "nosmp":
		return p.withoutIOAPIC()
	case "maxcpus":
		if isZero(a.Value) { // as nosmp; kernel/smp.c
			return p.withoutIOAPIC()
		}
	case "nolapic", "disableapic":
		return noLocalAPIC
	case "no_kvmclock", "nopv":
		return noFrequency
	case "acpi":
		switch {
		case a.Value == "off" && p.Bus == BusPCI: // with BusMMIO the machine makes up for it
			return noPower
		case a.Value == "noirq":
			return p.withoutIOAPIC()
		case a.Value == "rsdt":
			return noTables
		}
	}
	return ""
}

// pciEffect is effect of one option of pci=.
func (p *Plan) pciEffect(option string) string {
	if p.Bus != BusPCI {
		if option == "noacpi" { // acpi=noirq and more; arch/x86/pci/common.c
			return p.withoutIOAPIC()
		}
		return ""
	}
	switch option {
	case "noacpi":
		return noWindows
	case "off":
		return noBus
	case "nomsi":
		return noMessages
	}
	return ""
}

// withoutIOAPIC names the devices whose interrupts are lost.
func (p *Plan) withoutIOAPIC() string {
	devices := "the serial port and the power button"
	if p.Bus != BusPCI && len(p.Devices) > 0 {
		devices = "the serial port, the power button and the virtio devices"
	}
	return fmt.Sprintf(noIOAPIC, devices)
}

// isZero reads a number as Linux does, in any base.
func isZero(s string) bool {
	n, err := strconv.ParseInt(s, 0, 64)
	return err == nil && n == 0
}

// hasConsole says whether a console= names that device.
func hasConsole(line, device string) bool {
	for a := range kernelparams.All(line) {
		if name, _, _ := strings.Cut(a.Value, ","); a.Name == "console" && name == device {
			return true
		}
	}
	return false
}

// lostConsoles returns the words console= that name none of the machine's
// consoles. The last that is one is /dev/console, whatever stands before it.
func lostConsoles(line string, hvcs int) (words []string) {
	for a := range kernelparams.All(line) {
		switch {
		case a.Name != "console":
		case consoleExists(a.Value, hvcs):
			words = nil
		default:
			words = append(words, a.Text)
		}
	}
	return words
}

// consoleExists says whether console=value leads anywhere, or nowhere on purpose.
func consoleExists(value string, hvcs int) bool {
	name, options, _ := strings.Cut(value, ",")
	switch name {
	case "", "null", "ttynull", "ttyS0":
		return true
	case "uart", "uart8250":
		kind, port, _ := strings.Cut(options, ",")
		port, _, _ = strings.Cut(port, ",")
		n, err := strconv.ParseUint(port, 0, 32)
		return kind == "io" && err == nil && n == PortSerial
	}
	if n, ok := strings.CutPrefix(name, "hvc"); ok {
		i, err := strconv.Atoi(n)
		return err == nil && i >= 0 && i < hvcs
	}
	return false
}
