package check_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mayfly-vm/mayfly/guest/check"
)

// What QEMU's microvm machine gets wrong under TCG, by the title of the point. QEMU 7.2 counts the map's entries one
// too high, leaves start info in its option ROM's memory and its firmware below 1 MiB, and TCG is no KVM.
var qemuFails = map[string]bool{
	"memory map: sorted, no two entries overlap":                true,
	"memory map: sizes, types and reserved fields are sound":    true,
	"start info, its lists and the command line lie in RAM":     true,
	"CPUID leaf 0x40000000 says KVMKVMKVM":                      true,
	"nothing lies in 0xfc000 to 0xfffff":                        true,
	"CPUID leaf 0x40000010 has the frequencies of TSC and APIC": true,
	"MTRRs are on, default type write-back":                     true,
}

// qemuCommand runs a check guest on QEMU's microvm, with COM1 on its standard input and output.
func qemuCommand(t *testing.T, accel string, guest []byte, cmdline string, more ...string) *exec.Cmd {
	t.Helper()
	name, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is not installed")
	}
	kernel := filepath.Join(t.TempDir(), "check.elf")
	if err := os.WriteFile(kernel, guest, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	args := []string{"-M", "microvm", "-accel", accel, "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", kernel, "-append", cmdline}
	return exec.CommandContext(ctx, name, append(args, more...)...)
}

// qemu runs the guest to the end of the machine and returns what it wrote to COM1.
func qemu(t *testing.T, guest []byte, cmdline string, more ...string) []byte {
	t.Helper()
	var log bytes.Buffer
	cmd := qemuCommand(t, "tcg", guest, cmdline, more...)
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("qemu: %v\n%s%s", err, log.Bytes(), out)
	}
	return out
}

func TestPointsOnQEMU(t *testing.T) {
	initrd := bytes.Repeat([]byte("mayfly"), 3001)
	file := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(file, initrd, 0o644); err != nil {
		t.Fatal(err)
	}
	cmdline := check.Cmdline(check.Options{Memory: 128 << 20, CPUs: 3, Modules: []uint32{check.Sum(initrd)}})
	out := qemu(t, check.ELF, cmdline, "-m", "128", "-smp", "3", "-initrd", file)
	report, err := check.Parse(bytes.NewReader(out))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	expect(t, report, qemuFails)
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// TCG keeps the type of tr as at reset, which it can't use itself: this point is tried with a TSS of the guest's own.
const task = "tr is a 32-bit TSS with base 0 and limit 0x67"

// Each order that doesn't match the machine must turn exactly its own point over.
func TestPointsCanFail(t *testing.T) {
	good := check.Options{Memory: 128 << 20, CPUs: 1, Modules: []uint32{}}
	tests := []struct {
		title  string
		edit   func(o *check.Options)
		mangle func(cmdline string) string
	}{
		{"RAM is as much as the monitor was asked for", func(o *check.Options) { o.Memory = 256 << 20 }, nil},
		{"MADT: as many processors as the monitor was asked for", func(o *check.Options) { o.CPUs = 2 }, nil},
		{"as many modules as the monitor was given", func(o *check.Options) { o.Modules = []uint32{1} }, nil},
		{"module 0 has the content that the monitor was given", func(o *check.Options) { o.Modules = []uint32{1} }, nil},
		{task, nil, func(s string) string { return s + " task=0x66" }},
		{task, nil, func(s string) string { return s + " task=0x68" }},
		{"the command line arrives byte for byte", nil, func(s string) string { return strings.Replace(s, "cpus=1", "cpus=1 ", 1) }},
		{"the command line arrives byte for byte", nil, func(s string) string { return s[:len(s)-len(" check-end")] }},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			o := good
			if tt.edit != nil {
				tt.edit(&o)
			}
			cmdline := check.Cmdline(o)
			if tt.mangle != nil {
				cmdline = tt.mangle(cmdline)
			}
			out := qemu(t, check.ELF, cmdline, "-m", "128")
			report, err := check.Parse(bytes.NewReader(out))
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !fails(report, tt.title) {
				t.Errorf("the point did not fail:\n%s", out)
			}
		})
	}
}

// expect compares what failed with what the monitor is known for. Of a run with all orders, nothing else is skipped.
func expect(t *testing.T, r check.Report, known map[string]bool) {
	t.Helper()
	seen := map[string]bool{}
	for _, p := range r.Points {
		seen[p.Title] = true
		if p.Skipped && p.Title != task {
			t.Errorf("%s: everything is there for this point", p)
		}
		if p.OK == known[p.Title] {
			t.Errorf("%s: that is not what this monitor is known for", p)
		}
	}
	for title := range known {
		if !seen[title] {
			t.Errorf("the guest has no point %q", title)
		}
	}
}

func fails(r check.Report, title string) bool {
	return slices.ContainsFunc(r.Failed(), func(p check.Point) bool { return p.Title == title })
}

func TestTaskRegisterOnQEMU(t *testing.T) {
	out := qemu(t, check.ELF, "task=0x67")
	if r, err := check.Parse(bytes.NewReader(out)); err != nil || fails(r, task) || r.Points[len(r.Points)-1].Skipped {
		t.Errorf("the point is not ok with a conforming TSS (%v):\n%s", err, out)
	}
}

func TestSpewOnQEMU(t *testing.T) {
	const n = 100_003
	out := qemu(t, check.ELF, check.Cmdline(check.Options{NoChecks: true, Spew: n}))
	want := append([]byte("1..0 # SKIP nocheck\n"), check.Spew(n)...)
	if !bytes.HasPrefix(out, want) {
		t.Errorf("%d bytes, not the plan and the numbered lines; they begin %.60q", len(out), out)
	}
}

func TestEchoOnQEMU(t *testing.T) {
	sent := check.Spew(6000)
	cmd := qemuCommand(t, "tcg", check.ELF, check.Cmdline(check.Options{NoChecks: true, Echo: true}))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	// The guest says when it listens: earlier input would be lost when it resets the FIFO.
	ready(t, out, "# echo until Ctrl-D")
	if _, err := in.Write(append(sent, 4)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(string(sent)+"\n# echoed: 6000\n", string(got)); d != "" {
		t.Errorf("echo (-sent +got):\n%s", d)
	}
}

// A reset in place must start from the image as in the file and from fresh tables, though the guest scribbled on both.
func TestEndsOnQEMU(t *testing.T) {
	tests := []struct {
		name string
		end  check.End
		keys string // one for each time the guest asks
		runs int
	}{
		{"poweroff", check.PowerOff, "", 1},
		{"reboot, then poweroff", check.Ask, "rp", 2},
		{"triple fault, then poweroff", check.Ask, "tp", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := qemuCommand(t, "tcg", check.ELF, check.Cmdline(check.Options{Scribble: true, End: tt.end}))
			cmd.Args = slices.DeleteFunc(cmd.Args, func(s string) bool { return s == "-no-reboot" })
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(stdout)
			var first check.Report
			for run := range tt.runs {
				r, err := check.Parse(out)
				if err != nil {
					t.Fatalf("run %d: %v", run+1, err)
				}
				if run == 0 {
					first = r
				} else if d := cmp.Diff(first.Points, r.Points); d != "" {
					t.Errorf("run %d (-first +this):\n%s", run+1, d)
				}
				if run < len(tt.keys) {
					ready(t, out, "# end? ")
					in.Write([]byte{tt.keys[run]})
				}
			}
			if rest, err := io.ReadAll(out); err != nil || strings.Contains(string(rest), "no effect") {
				t.Errorf("after the last run: %v\n%s", err, rest)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("qemu: %v", err)
			}
		})
	}
}

// ready reads up to the line with that beginning.
func ready(t *testing.T, out *bufio.Reader, prefix string) {
	t.Helper()
	for {
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatalf("no line %q: %v", prefix, err)
		}
		if strings.HasPrefix(line, prefix) {
			return
		}
	}
}

// TCG of QEMU 7.2 has no x2APIC.
func TestX2APICOnQEMU(t *testing.T) {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs KVM: %v", err)
	}
	f.Close()
	r := report(t, "kvm", check.ELF, check.Cmdline(check.Options{CPUs: 2, X2APIC: true}))
	if got := r.Fact("apic"); got != "x2apic, x2apic offered" {
		t.Errorf("apic: %s", got)
	}
	for _, title := range []string{
		"the local APIC is on and its id is in the MADT",
		"secondary processors start by INIT and SIPI",
		"a local APIC timer interrupt arrives",
		"COM1 interrupts through the I/O APIC when a byte is sent",
	} {
		if fails(r, title) {
			t.Errorf("not ok with x2APIC: %s", title)
		}
	}
}
