package acpi_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/acpi"
)

func TestWatchdogTable(t *testing.T) {
	c := machine(1)
	c.Watchdog = acpi.Watchdog{Port: 0x620, Period: 100, Min: 1, Max: 36000}
	at, err := acpi.Build(0xE0000, c)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := read(at, 0xE0000)
	if err != nil {
		t.Fatal(err)
	}
	b := tables["WDAT"]
	if len(b) < 68 || le.Uint32(b[36:]) != 32 || !bytes.Equal(b[40:45], []byte{0xFF, 0, 0xFF, 0xFF, 0xFF}) {
		t.Fatalf("header % x: Linux takes only a watchdog that is no PCI device", b)
	}
	if le.Uint32(b[48:]) != 100 || le.Uint32(b[52:]) != 36000 || le.Uint32(b[56:]) != 1 || b[60]&1 == 0 {
		t.Errorf("header % x", b[:68])
	}
	if n := int(le.Uint32(b[64:])); n != 10 || len(b) != 68+24*n {
		t.Errorf("%d entries in %d bytes", n, len(b))
	}
	// The specification requires these, and so does Linux.
	for _, action := range []byte{1, 4, 6, 8, 9, 10, 11, 32, 33} {
		found := false
		for e := b[68:]; len(e) >= 24; e = e[24:] {
			port := le.Uint64(e[8:])
			if e[4] != 1 || e[7] != 3 || port < 0x620 || port > 0x62C {
				t.Fatalf("entry % x", e[:24])
			}
			found = found || e[0] == action
		}
		if !found {
			t.Errorf("action %d is missing", action)
		}
	}
}

func TestRefusesPlainDevices(t *testing.T) {
	good := acpi.Watchdog{Port: 0x620, Period: 100, Min: 1, Max: 10}
	for _, tt := range []struct {
		name   string
		change func(*acpi.Config)
		want   string
	}{
		{"odd id", func(c *acpi.Config) { c.VMGenID = 0xF0004 }, "generation id at 0xf0004"},
		{"odd watchdog", func(c *acpi.Config) { c.Watchdog = good; c.Watchdog.Port = 0x622 }, "multiple of 4"},
		{"no period", func(c *acpi.Config) { c.Watchdog = good; c.Watchdog.Period = 0 }, "periods of 0 ms"},
		{"least beyond most", func(c *acpi.Config) { c.Watchdog = good; c.Watchdog.Min = 11 }, "11 to 10"},
		{"watchdog at the end", func(c *acpi.Config) { c.Watchdog = good; c.Watchdog.Port = 0xFFFC }, "no more than 65536"},
		{"pvpanic over power", func(c *acpi.Config) { c.PVPanic = 0x603 }, "overlap"},
		{"pvpanic over the watchdog", func(c *acpi.Config) { c.Watchdog = good; c.PVPanic = 0x62F }, "overlap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := machine(1)
			tt.change(&c)
			_, err := acpi.Build(0xE0000, c)
			if !errors.Is(err, acpi.ErrConfig) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
		})
	}
}
