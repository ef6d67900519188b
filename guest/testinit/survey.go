package main

import (
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/guest/testinit/report"
)

// surveyor collects a report and notes what it could not read.
type surveyor struct {
	r      report.Report
	errors []string
}

func survey(withLog bool) *report.Report {
	var s surveyor
	const cpu = "/sys/devices/system/cpu/"
	s.r = report.Report{
		Version:     s.line("/proc/version"),
		Cmdline:     s.line("/proc/cmdline"),
		LoaderType:  s.line("/proc/sys/kernel/bootloader_type"),
		Online:      s.line(cpu + "online"),
		Present:     s.line(cpu + "present"),
		Model:       s.field("/proc/cpuinfo", "model name"),
		Flags:       s.field("/proc/cpuinfo", "flags"),
		IOMem:       s.text("/proc/iomem"),
		Clocksource: s.line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
		Clocks:      s.line("/sys/devices/system/clocksource/clocksource0/available_clocksource"),
		Clockevent:  s.line("/sys/devices/system/clockevents/clockevent0/current_device"),
		Interrupts:  s.text("/proc/interrupts"),
	}
	s.memory()
	s.processors(cpu)
	s.firmware()
	s.rootFiles()
	if up, _, ok := strings.Cut(s.line("/proc/uptime"), " "); ok {
		s.r.Uptime, _ = strconv.ParseFloat(up, 64)
	}
	if withLog {
		s.kernelLog()
	}
	s.r.Errors = s.errors
	return &s.r
}

func (s *surveyor) failed(err error) { s.errors = append(s.errors, err.Error()) }

func (s *surveyor) text(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		s.failed(err)
	}
	return string(b)
}

func (s *surveyor) line(file string) string { return strings.TrimSpace(s.text(file)) }

// field returns the first "name : value" of a file.
func (s *surveyor) field(file, name string) string {
	for line := range strings.Lines(s.text(file)) {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(n) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (s *surveyor) memory() {
	kib, _ := strconv.ParseUint(strings.TrimSuffix(s.field("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	s.r.MemTotal = kib << 10
	for line := range strings.Lines(s.r.IOMem) {
		addrs, what, _ := strings.Cut(strings.TrimSpace(line), " : ")
		if what != "System RAM" || strings.HasPrefix(line, " ") {
			continue
		}
		first, last, _ := strings.Cut(addrs, "-")
		s.r.SystemRAM = append(s.r.SystemRAM, report.Range{Start: hex(first), End: hex(last)})
	}
}

func hex(v string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(v, "0x"), 16, 64)
	return n
}

// processors examines each online processor and runs on it.
func (s *surveyor) processors(dir string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		s.failed(err)
	}
	defer unix.SchedSetaffinity(0, &all)
	for _, id := range list(s.r.Online) {
		top := dir + "cpu" + strconv.Itoa(id) + "/topology/"
		c := report.CPU{ID: id, Package: s.int(top + "physical_package_id"), Core: s.int(top + "core_id"), Siblings: s.line(top + "thread_siblings_list")}
		var one unix.CPUSet
		one.Set(id)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			s.failed(err)
		} else if at, err := currentCPU(); err != nil {
			s.failed(err)
		} else {
			c.Ran = at == id
		}
		s.r.CPUs = append(s.r.CPUs, c)
	}
}

func (s *surveyor) int(file string) int {
	n, err := strconv.Atoi(s.line(file))
	if err != nil {
		s.failed(err)
	}
	return n
}

// list expands a kernel's list of numbers, such as "0-3,5".
func list(v string) (ids []int) {
	for part := range strings.SplitSeq(v, ",") {
		first, last, isRange := strings.Cut(part, "-")
		lo, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		hi := lo
		if isRange {
			if hi, err = strconv.Atoi(last); err != nil {
				continue
			}
		}
		for ; lo <= hi; lo++ {
			ids = append(ids, lo)
		}
	}
	return ids
}

func (s *surveyor) firmware() {
	dirs, _ := filepath.Glob("/sys/firmware/memmap/*")
	for _, d := range dirs {
		s.r.Firmware = append(s.r.Firmware, report.FirmwareRange{
			Range: report.Range{Start: hex(s.line(d + "/start")), End: hex(s.line(d + "/end"))},
			Type:  s.line(d + "/type"),
		})
	}
	sort.Slice(s.r.Firmware, func(i, j int) bool { return s.r.Firmware[i].Start < s.r.Firmware[j].Start })
	tables, _ := filepath.Glob("/sys/firmware/acpi/tables/*")
	for _, t := range tables {
		if st, err := os.Stat(t); err == nil && st.Mode().IsRegular() {
			s.r.ACPITables = append(s.r.ACPITables, filepath.Base(t))
		}
	}
}

func (s *surveyor) rootFiles() {
	entries, err := os.ReadDir("/")
	if err != nil {
		s.failed(err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		b := s.text("/" + e.Name())
		s.r.Files = append(s.r.Files, report.File{Name: e.Name(), Size: int64(len(b)), CRC: crc32.ChecksumIEEE([]byte(b))})
	}
}

func (s *surveyor) kernelLog() {
	size, err := unix.Klogctl(bufferSize, nil)
	if err != nil {
		s.failed(err)
		return
	}
	b := make([]byte, size)
	n, err := unix.Klogctl(readAll, b)
	if err != nil {
		s.failed(err)
		return
	}
	s.r.Dmesg = string(b[:n])
}
