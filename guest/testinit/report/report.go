// Package report is what the test init of a guest reports about the machine that
// it finds, and how that travels over a serial console.
package report

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// A Report describes a guest as seen from inside.
type Report struct {
	Version     string // /proc/version
	Cmdline     string // /proc/cmdline
	LoaderType  string // /proc/sys/kernel/bootloader_type, decimal: 176 says PVH, 255 an unnamed loader
	Online      string // /sys/devices/system/cpu/online, such as "0-3"
	Present     string
	CPUs        []CPU
	Model       string // "model name" of /proc/cpuinfo
	Flags       string // "flags" of /proc/cpuinfo
	MemTotal    uint64 // bytes, /proc/meminfo
	SystemRAM   []Range
	IOMem       string // /proc/iomem
	Firmware    []FirmwareRange
	ACPITables  []string // names in /sys/firmware/acpi/tables
	Clocksource string   // the current one
	Clocks      string   // those available
	Clockevent  string   // the first processor's timer, such as "lapic-deadline"
	Interrupts  string   // /proc/interrupts
	Files       []File   // regular files in the root directory: what the initrds brought
	Uptime      float64  // seconds, when the report was made
	Dmesg       string   // the kernel's log
	Errors      []string // what could not be read
}

// CPU is one online processor.
type CPU struct {
	ID       int
	Ran      bool   // a thread bound to it found itself there
	Package  int    // topology/physical_package_id
	Core     int    // topology/core_id
	Siblings string // topology/thread_siblings_list
}

// Range is a range of guest-physical addresses; End is its last byte.
type Range struct{ Start, End uint64 }

// FirmwareRange is an entry of /sys/firmware/memmap: the memory map as the
// monitor gave it.
type FirmwareRange struct {
	Range
	Type string // such as "System RAM", "Reserved"
}

// File is a file of the root directory.
type File struct {
	Name string
	Size int64
	CRC  uint32 // CRC-32 (IEEE) of the content
}

// The lines around a report. The end line carries a CRC-32 of the lines
// between, so that a lost or foreign byte is distinguished from a wrong machine.
const (
	beginLine = "mayfly-report: begin"
	endLine   = "mayfly-report: end "
	lineWidth = 100
)

// Write writes the report: JSON, deflated since every byte on a serial port
// costs a VM exit, as lines of base64.
func Write(w io.Writer, r *Report) error {
	j, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var z bytes.Buffer
	f, err := flate.NewWriter(&z, flate.DefaultCompression)
	if err != nil {
		return err
	}
	if _, err := f.Write(j); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString(z.Bytes())
	var b bytes.Buffer
	b.WriteString(beginLine + "\n")
	for rest := text; rest != ""; {
		n := min(len(rest), lineWidth)
		b.WriteString(rest[:n] + "\n")
		rest = rest[n:]
	}
	fmt.Fprintf(&b, "%s%08x\n", endLine, crc32.ChecksumIEEE([]byte(text)))
	_, err = w.Write(b.Bytes())
	return err
}

// ErrNone says that a console holds no whole report.
var ErrNone = errors.New("report: the console holds no report")

// maxJSON bounds what a report may unpack to.
const maxJSON = 16 << 20

// Parse returns the last whole report on a console.
func Parse(console []byte) (*Report, error) {
	s := strings.ReplaceAll(string(console), "\r", "")
	end := strings.LastIndex(s, "\n"+endLine)
	if end < 0 {
		return nil, ErrNone
	}
	begin := strings.LastIndex(s[:end], beginLine+"\n")
	if begin < 0 {
		return nil, ErrNone
	}
	text := strings.ReplaceAll(s[begin+len(beginLine)+1:end], "\n", "")
	sum, _, whole := strings.Cut(s[end+1+len(endLine):], "\n")
	if !whole {
		return nil, ErrNone
	}
	if got := fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))); got != sum {
		return nil, fmt.Errorf("report: %d characters have CRC %s, the end line says %q: bytes were lost or came between", len(text), got, sum)
	}
	z, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	j, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(z)), maxJSON))
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r := new(Report)
	if err := json.Unmarshal(j, r); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return r, nil
}
