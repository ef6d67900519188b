package linux

import (
	"fmt"
	"hash/crc32"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/testinit/report"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/pvh"
)

// Linux's numbers of boot loaders, /proc/sys/kernel/bootloader_type.
const (
	loaderPVH     = "176" // 0xB0: the kernel's own PVH entry (arch/x86/platform/pvh/enlighten.c)
	loaderUnnamed = "255" // 0xFF: none that is registered
)

// expect compares what a Linux guest found with the machine it was given.
func expect(t testing.TB, c mayfly.Config, p *mayfly.Plan, r *report.Report) {
	t.Helper()
	if r.Cmdline != p.Cmdline {
		t.Errorf("command line\n%q, want\n%q", r.Cmdline, p.Cmdline)
	}
	want := loaderPVH
	if p.Protocol == kernel.Linux64 {
		want = loaderUnnamed
	}
	if r.LoaderType != want {
		t.Errorf("loader type %s, want %s (%v)", r.LoaderType, want, p.Protocol)
	}
	expectMemory(t, p, r)
	expectProcessors(t, max(c.CPUs, 1), r)
	expectTime(t, r)
	expectInit(t, r)
	if !slices.Equal(r.ACPITables, []string{"APIC", "DSDT", "FACP"}) {
		t.Errorf("ACPI tables %q, want APIC, DSDT and FACP", r.ACPITables)
	}
	if r.Dmesg != "" {
		expectLog(t, max(c.CPUs, 1), p, r.Dmesg)
	}
}

func expectMemory(t testing.TB, p *mayfly.Plan, r *report.Report) {
	t.Helper()
	names := map[pvh.MemType]string{pvh.RAM: "System RAM", pvh.Reserved: "Reserved"}
	var firmware []report.FirmwareRange
	var ram []report.Range
	for _, e := range p.MemMap {
		g := report.Range{Start: e.Addr, End: e.Addr + e.Size - 1}
		firmware = append(firmware, report.FirmwareRange{Range: g, Type: names[e.Type]})
		if e.Type == pvh.RAM {
			if g.Start == 0 {
				g.Start = 0x1000 // Linux never uses the first page
			}
			ram = append(ram, g)
		}
	}
	if !slices.Equal(r.Firmware, firmware) {
		t.Errorf("memory map\n%x, want\n%x", r.Firmware, firmware)
	}
	if !slices.Equal(r.SystemRAM, ram) {
		t.Errorf("System RAM\n%x, want\n%x", r.SystemRAM, ram)
	}
	code := fmt.Sprintf("%08x-", int64(linuxText)+p.Delta)
	if !slices.ContainsFunc(strings.Split(r.IOMem, "\n"), func(line string) bool {
		return strings.HasPrefix(strings.TrimSpace(line), code) && strings.HasSuffix(line, " : Kernel code")
	}) {
		t.Errorf("no kernel code from %s on:\n%s", code, r.IOMem)
	}
}

// linuxText is where x86-64 Linux's code starts: CONFIG_PHYSICAL_START, 16 MiB
// in all kernels here.
const linuxText = 16 << 20

func expectProcessors(t testing.TB, n int, r *report.Report) {
	t.Helper()
	list := "0"
	if n > 1 {
		list = fmt.Sprintf("0-%d", n-1)
	}
	if r.Online != list || r.Present != list {
		t.Errorf("processors online %q, present %q, want %q", r.Online, r.Present, list)
	}
	var want []report.CPU
	for id := range n {
		want = append(want, report.CPU{ID: id, Ran: true, Core: id, Siblings: strconv.Itoa(id)})
	}
	if !slices.Equal(r.CPUs, want) {
		t.Errorf("processors\n%+v, want\n%+v", r.CPUs, want)
	}
	for _, flag := range []string{"x2apic", "tsc_deadline_timer", "hypervisor"} {
		if !slices.Contains(strings.Fields(r.Flags), flag) {
			t.Errorf("the processors lack the feature %s: %s", flag, r.Flags)
		}
	}
}

func expectTime(t testing.TB, r *report.Report) {
	t.Helper()
	want := "kvm-clock"
	if isSoft() { // whose TSC is invariant: Linux prefers it
		want = "tsc"
	}
	if r.Clocksource != want {
		t.Errorf("clock source %q of %q, want %s", r.Clocksource, r.Clocks, want)
	}
	if r.Clockevent != "lapic-deadline" {
		t.Errorf("timer %q, want lapic-deadline", r.Clockevent)
	}
	for line := range strings.Lines(r.Interrupts) { // the 8254, if it were there
		if f := strings.Fields(line); len(f) > 0 && (f[0] == "0:" || strings.HasSuffix(line, " timer\n")) {
			t.Errorf("a legacy timer interrupts: %s", line)
		}
	}
}

// expectInit compares the file that the initrd brought.
func expectInit(t testing.TB, r *report.Report) {
	t.Helper()
	b, err := os.ReadFile(initFile)
	if err != nil {
		t.Fatal(err)
	}
	expectFile(t, r, "init", b)
}

func expectFile(t testing.TB, r *report.Report, name string, content []byte) {
	t.Helper()
	want := report.File{Name: name, Size: int64(len(content)), CRC: crc32.ChecksumIEEE(content)}
	if !slices.Contains(r.Files, want) {
		t.Errorf("the root directory has %+v, not %+v", r.Files, want)
	}
}

// foul are the lines of a kernel's log that speak of absent or wrongly
// described hardware, or of waiting for it.
var foul = regexp.MustCompile(`(?i)ACPI.*(error|warning|exception|unable|fail)|ACPI BIOS|AE_[A-Z]|firmware bug|BIOS bug|` +
	`Probing ports directly|serio:|\b8254\b|\bPIT\b|rtc_cmos|CMOS|HPET|` +
	`timed? ?out|stall|unstable|MP-BIOS|APIC.*(error|fail)|TSC.*(fail|skew|calibrat)|calibrating delay loop\.|` +
	`WARNING:|BUG:|Call Trace|Oops|not responding|lost interrupt|nobody cared|overrun`)

// forgiven are such lines that the emulated processor of the nest is to blame
// for, not the monitor: its XSETBV does not exit to KVM, so KVM's leaf 0xD does
// not follow XCR0; and its TSC is not constant.
var forgiven = regexp.MustCompile(`Speculative Return Stack Overflow: WARNING|WARNING: CPU: \d+ PID: 0 at arch/x86/kernel/fpu/xstate.c|Call Trace:|` +
	`Unstable clock detected|Marking TSC unstable due to TSCs unsynchronized`)

var (
	logLine   = regexp.MustCompile(`^<\d+>\[ *(\d+\.\d+)\] (.*)$`)
	memoryHas = regexp.MustCompile(`Memory: \d+K/(\d+)K available`)
)

func expectLog(t testing.TB, cpus int, p *mayfly.Plan, log string) {
	t.Helper()
	xsave := strings.Contains(log, "XSAVE consistency problem")
	for line := range strings.Lines(log) {
		line = strings.TrimSuffix(line, "\n")
		text := line // without the time, whose digits may name a chip
		if m := logLine.FindStringSubmatch(line); m != nil {
			text = m[2]
		}
		if foul.MatchString(text) && !(forgiven.MatchString(line) && (xsave || !strings.Contains(line, "Call Trace"))) {
			t.Errorf("the kernel's log says: %s", line)
		}
	}
	wants := []string{
		"Hypervisor detected: KVM", "x2apic enabled", "physical x2apic", "TSC deadline timer available",
		"Linux version ", "ACPI: Using ACPI (MADT) for SMP configuration information",
	}
	if cpus > 1 {
		wants = append(wants, fmt.Sprintf("smp: Brought up 1 node, %d CPUs", cpus))
	}
	if in := p.Initrd; in.Size > 0 {
		// Linux shows whole pages.
		wants = append(wants, fmt.Sprintf("RAMDISK: [mem %#08x-%#08x]", uint64(in.Addr), (uint64(in.Addr)+in.Size+0xFFF)&^0xFFF-1))
	}
	for _, w := range wants {
		if !strings.Contains(log, w) {
			t.Errorf("the kernel's log lacks %q", w)
		}
	}
	ram := uint64(0)
	for _, e := range p.MemMap {
		if e.Type == pvh.RAM {
			ram += e.Size
		}
	}
	want := strconv.FormatUint((ram-0x1000)>>10, 10)
	if m := memoryHas.FindStringSubmatch(log); m == nil || m[1] != want {
		t.Errorf("the kernel manages %q KiB, want %s", m, want)
	}
	t.Log(longestGap(log))
}

// longestGap finds the longest pause of the early log: a kernel that
// waits for hardware shows there.
func longestGap(log string) string {
	var before, gap float64
	last, text := "", "no time stamps"
	for line := range strings.Lines(log) {
		m := logLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		now, _ := strconv.ParseFloat(m[1], 64)
		if now-before > gap {
			gap = now - before
			text = fmt.Sprintf("longest gap in the log %.3f s, between %q and %q", gap, last, m[2])
		}
		before, last = now, m[2]
	}
	return fmt.Sprintf("%s; the log ends at %.3f s", text, before)
}
