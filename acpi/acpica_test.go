package acpi_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/acpi"
	"github.com/mayfly-vm/mayfly/memory"
)

// ACPICA is the implementation that Linux and FreeBSD have in their kernels;
// its tools (Debian: acpica-tools) read the tables as these do.

// writeTables builds the tables of a machine with processors of both kinds and
// writes each to a file of its name in a new directory.
func writeTables(t *testing.T, tool string) (dir string, tables map[string][]byte) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("%s isn't installed (Debian: apt-get install acpica-tools)", tool)
	}
	c := machine(2)
	c.Virtio = []acpi.VirtioMMIO{{Addr: 0xFEB0_0000, Size: 0x200, GSI: 6}, {Addr: 0xFEB0_1000, Size: 0x200, GSI: 7}}
	c.PCI = &acpi.PCI{ECAM: 0xE000_0000, Ports: true,
		Low: memory.Range{Addr: 0xC000_0000, Size: 0x1000_0000}, High: memory.Range{Addr: 0x40_0000_0000, Size: 1 << 36}}
	c.VMGenID, c.PVPanic = 0x1_0000_0FF0, 0x610
	c.Watchdog = acpi.Watchdog{Port: 0x620, Period: 100, Min: 1, Max: 36000}
	c.CPUs = append(c.CPUs, acpi.CPU{APICID: 300})
	at, err := acpi.Build(0xE0000, c)
	if err != nil {
		t.Fatal(err)
	}
	if tables, err = read(at, 0xE0000); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, b := range tables {
		if err := os.WriteFile(filepath.Join(dir, name+".dat"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, tables
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestCompilerReadsTables(t *testing.T) {
	dir, tables := writeTables(t, "iasl")
	for _, name := range []string{"DSDT", "FACP", "APIC", "XSDT", "MCFG", "WDAT"} {
		t.Run(name, func(t *testing.T) {
			out := run(t, dir, "iasl", "-d", name+".dat")
			for _, bad := range []string{"Error", "Warning", "Invalid", "Could not", "Unknown"} {
				if strings.Contains(out, bad) {
					t.Errorf("disassembly:\n%s", out)
				}
			}
			// -oa: no optimizations, so that what comes out is what went in.
			out = run(t, dir, "iasl", "-oa", "-p", name+"-again", name+".dsl")
			if !strings.Contains(out, "0 Errors, 0 Warnings, 0 Remarks") {
				t.Errorf("compilation:\n%s", out)
			}
			again, err := os.ReadFile(filepath.Join(dir, name+"-again.aml"))
			if err != nil {
				t.Fatal(err)
			}
			// The headers differ in the compiler's id.
			if len(again) < 36 || !bytes.Equal(again[36:], tables[name][36:]) {
				t.Errorf("the compiler makes of it\n% x\nwant\n% x", again, tables[name])
			}
		})
	}
}

func TestInterpreterRunsEventMethod(t *testing.T) {
	dir, _ := writeTables(t, "acpiexec")
	const notified = "Notify on [PWRB]"
	for _, tt := range []struct {
		status string // what the simulated port reads as
		want   bool
	}{{"0", false}, {"1", true}, {"2", false}, {"3", true}} {
		t.Run("status "+tt.status, func(t *testing.T) {
			t.Parallel() // the tool waits a second at its end
			out := run(t, dir, "acpiexec", "-r", "-fv", tt.status, "-b", `evaluate \_SB.GED._EVT 5`, "DSDT.dat")
			if got, want := strings.Contains(out, "Notify on [VGEN]"), tt.status >= "2"; got != want {
				t.Errorf("event status %s: generation id is notified: %v, want %v\n%s", tt.status, got, want, out)
			}
			if strings.Contains(out, notified) != tt.want {
				t.Errorf("event status %s: button is notified: %v, want %v\n%s", tt.status, !tt.want, tt.want, out)
			}
			for _, bad := range []string{"Error", "Warning", "exception", "AE_"} {
				if strings.Contains(out, bad) {
					t.Errorf("event status %s:\n%s", tt.status, out)
				}
			}
		})
	}
}
