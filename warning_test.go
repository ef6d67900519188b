package mayfly_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// Parameters that work on other machines and make a Linux deaf on this one are named,
// with their effect; nothing is changed.
func TestParametersThatMakeLinuxDeaf(t *testing.T) {
	mmio, pci := mayfly.DefaultCmdline(mayfly.BusMMIO)+" ", mayfly.DefaultCmdline(mayfly.BusPCI)+" "
	hvc := func(c *mayfly.Config) {
		c.Devices = append(c.Devices, console.Config{Ports: []console.Port{{Console: true}, {Name: "log"}}})
	}
	for _, c := range []struct {
		line   string
		bus    mayfly.Bus
		change func(*mayfly.Config)
		want   []string // word and a part of its effect
	}{
		{mmio, mayfly.BusMMIO, nil, nil},
		{pci, mayfly.BusPCI, nil, nil},
		{mmio + "quiet reboot=k nox2apic notsc noapictimer lapic=notscdeadline maxcpus=1 -- noapic", mayfly.BusMMIO, nil, nil},
		{mmio + "noapic", mayfly.BusMMIO, nil, []string{"noapic: ", "the serial port, the power button and the virtio devices"}},
		{pci + "noapic", mayfly.BusPCI, nil, []string{"noapic: ", "the serial port and the power button arrives"}},
		{mmio + "nosmp", mayfly.BusMMIO, nil, []string{"nosmp: ", "I/O APIC"}},
		{mmio + "maxcpus=0", mayfly.BusMMIO, nil, []string{"maxcpus=0: ", "I/O APIC"}},
		{mmio + "nolapic", mayfly.BusMMIO, nil, []string{"nolapic: ", "none arrives"}},
		{mmio + "disableapic", mayfly.BusMMIO, nil, []string{"disableapic: ", "none arrives"}},
		{mmio + "no-kvmclock", mayfly.BusMMIO, nil, []string{"no-kvmclock: ", "PIT"}},
		{mmio + "nopv", mayfly.BusMMIO, nil, []string{"nopv: ", "PIT"}},
		{mmio + "acpi=noirq", mayfly.BusMMIO, nil, []string{"acpi=noirq: ", "I/O APIC"}},
		{mmio + "acpi=rsdt", mayfly.BusMMIO, nil, []string{"acpi=rsdt: ", "XSDT"}},
		{pci + "acpi=off", mayfly.BusPCI, nil, []string{"acpi=off: ", "a press is not noticed"}},
		{mmio + "acpi=off", mayfly.BusMMIO, nil, nil},
		{pci + "pci=off", mayfly.BusPCI, nil, []string{"pci=off: ", "finds none"}},
		{mmio + "pci=off,nomsi", mayfly.BusMMIO, nil, nil},
		{pci + "pci=conf1,nomsi", mayfly.BusPCI, nil, []string{"pci=nomsi: ", "no other interrupts"}},
		{pci + "pci=nocrs", mayfly.BusPCI, nil, nil}, // base addresses are set already
		{mmio + "pci=noacpi", mayfly.BusMMIO, nil, []string{"pci=noacpi: ", "I/O APIC"}},
		{pci + "pci=noacpi", mayfly.BusPCI, nil, []string{"pci=noacpi: ", "moves PCI devices"}},
		{mmio + "8250.nr_uarts=0", mayfly.BusMMIO, nil, []string{"8250.nr_uarts=0: ", "ttyS0"}},
		{mmio + "8250.nr-uarts=0x0", mayfly.BusMMIO, nil, []string{"8250.nr-uarts=0x0: ", "ttyS0"}},
		{"8250.nr_uarts=0 console=hvc0", mayfly.BusMMIO, hvc, nil},
		{"8250.nr_uarts=0 console=ttyS0 8250.nr_uarts=1", mayfly.BusMMIO, nil, nil},
		{mmio + "console=ttyS1,115200n8", mayfly.BusMMIO, nil, []string{"console=ttyS1,115200n8: ", "no such console"}},
		{mmio + "console=tty0", mayfly.BusMMIO, nil, []string{"console=tty0: ", "no such console"}},
		{"console=tty0 console=ttyS0,115200", mayfly.BusMMIO, nil, nil},
		{"console=null", mayfly.BusMMIO, nil, nil},
		{"console=hvc0", mayfly.BusMMIO, nil, []string{"console=hvc0: ", "no such console"}},
		{"console=hvc0", mayfly.BusMMIO, hvc, nil},
		{"console=hvc1", mayfly.BusMMIO, hvc, []string{"console=hvc1: ", "no such console"}},
		{"console=uart8250,io,0x3f8,115200", mayfly.BusMMIO, nil, nil},
		{"console=uart8250,io,0x2f8", mayfly.BusMMIO, nil, []string{"console=uart8250,io,0x2f8: ", "no such console"}},
	} {
		cfg := guest(t, check.Options{})
		cfg.Cmdline, cfg.Bus, cfg.Platform = c.line, c.bus, mayfly.PlatformLinux
		cfg.Devices = []mayfly.DeviceConfig{rng.Config{}}
		if c.change != nil {
			c.change(&cfg)
		}
		p, err := mayfly.NewPlan(cfg)
		if err != nil {
			t.Fatalf("%q: %v", c.line, err)
		}
		switch {
		case len(c.want) == 0:
			if len(p.Warnings) != 0 {
				t.Errorf("%q: %q", c.line, p.Warnings)
			}
		case len(p.Warnings) != 1 || !strings.HasPrefix(p.Warnings[0], c.want[0]) || !strings.Contains(p.Warnings[0], c.want[1]):
			t.Errorf("%q: %q, want one of %q", c.line, p.Warnings, c.want)
		}
		if !strings.HasPrefix(p.Cmdline, strings.TrimSpace(strings.TrimSuffix(c.line, "-- noapic"))) {
			t.Errorf("%q became %q", c.line, p.Cmdline)
		}
		cfg.Platform = mayfly.PlatformGeneric
		if p, err = mayfly.NewPlan(cfg); err != nil || len(p.Warnings) != 0 {
			t.Errorf("%q for a guest that is no Linux: %q, %v", c.line, p.Warnings, err)
		}
	}
}

// collector is a slog.Handler that passes records on.
type collector struct{ to func(slog.Record) }

func (collector) Enabled(context.Context, slog.Level) bool        { return true }
func (c collector) Handle(_ context.Context, r slog.Record) error { c.to(r); return nil }
func (c collector) WithAttrs([]slog.Attr) slog.Handler            { return c }
func (c collector) WithGroup(string) slog.Handler                 { return c }

func TestNewLogsWarnings(t *testing.T) {
	machinetest.NeedKVM(t)
	var reports []string
	cfg := guest(t, check.Options{})
	cfg.Platform, cfg.Cmdline = mayfly.PlatformLinux, "noapic console=ttyS1"
	cfg.Logger = slog.New(collector{func(r slog.Record) {
		var device string
		var err error
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "device":
				device = a.Value.String()
			case "error":
				err, _ = a.Value.Any().(error)
			}
			return true
		})
		if device != "command line" || err == nil || err.Error() != r.Message || r.Level != slog.LevelWarn {
			t.Errorf("%v %q: device %q, error %v", r.Level, r.Message, device, err)
		}
		reports = append(reports, r.Message)
	}})
	vm, err := mayfly.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if len(reports) != 2 || !strings.HasPrefix(reports[0], "command line: noapic: ") || !strings.HasPrefix(reports[1], "command line: console=ttyS1: ") {
		t.Errorf("reports %q", reports)
	}
}

// refusing is a device that does not start.
type refusing struct{ virtiotest.Echo }

func (*refusing) Start(*virtio.Session) error { return unix.EDQUOT }

// What goes wrong with a device is logged under its name, but not without end.
func TestDeviceErrorsAreLogged(t *testing.T) {
	leavesNothing(t)
	logged := make(chan slog.Record, 1000)
	vm := start(t, mayfly.Config{Kernel: file(t, "resetter.elf", machinetest.Resetter("reset the machine")),
		Devices: []mayfly.DeviceConfig{virtio.Opened{Name: "mine", Device: new(refusing)}},
		Logger:  slog.New(collector{func(r slog.Record) { logged <- r }})})
	machinetest.Until(t, "restarts", func() bool { return vm.Stats().Restarts == 5 })
	vm.Close()
	<-vm.Released()
	close(logged)
	errs := 0
	for r := range logged {
		attrs := map[string]any{}
		r.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value.Any(); return true })
		var e *mayfly.DeviceError
		err, _ := attrs["error"].(error)
		switch {
		case attrs["device"] == "restart":
		case attrs["device"] != "mine" || !errors.As(err, &e) || e.Device != "mine" || !errors.Is(err, unix.EDQUOT):
			t.Errorf("%q: %v", r.Message, attrs)
		default:
			errs++
		}
	}
	if errs == 0 || errs > 8 {
		t.Errorf("%d errors of the device", errs)
	}
}
