// Package bench holds the bench guest and reads what it reports.
//
// The guest is a PVH ELF that any monitor can boot. It goes to CPL 3 in 64-bit mode, where it runs at full speed even
// on a KVM that emulates guest kernel code, finds virtio devices over MMIO and PCI, keeps their rings full by polling,
// without a single interrupt, and prints what it measured on COM1: so one file measures the devices of several
// monitors side by side. Its orders are on the kernel command line; src/main.c lists them.
package bench

import (
	_ "embed"
	"strconv"
	"strings"
)

// ELF is the guest, built from src by the Makefile in this directory. It needs 128 MiB of RAM from address 0.
//
//go:embed bench.elf
var ELF []byte

// Done is in the guest's last line. A monitor that takes the reset after it for a restart (Cloud Hypervisor) must be
// stopped by who sees it.
const Done = "done=1"

// Blocks of a disk for the blk orders have BlockSize bytes, begin with a little-endian word of their number times
// Golden plus less than 256, which identifies the writer, and end with the inverted word. The guest checks this when
// it reads and keeps to it when it writes.
const (
	BlockSize = 4096
	Golden    = 0x9e3779b97f4a7c15
)

// Result is one line of the guest: words of the form key=value. Order is the value of "result".
type Result struct {
	Order string
	words map[string]string
}

// ParseLine reads a line of the guest's output. It is false for lines that are no result.
func ParseLine(line string) (Result, bool) {
	r := Result{words: map[string]string{}}
	for _, w := range strings.Fields(line) {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			return Result{}, false
		}
		r.words[k] = v
	}
	r.Order = r.words["result"]
	return r, r.Order != ""
}

// Text is the value of key, "" without one.
func (r Result) Text(key string) string { return r.words[key] }

// Number is the number of key, 0 without one.
func (r Result) Number(key string) uint64 {
	v, _ := strconv.ParseUint(r.words[key], 10, 64)
	return v
}

// PerSecond is how many of key there were in a second of the measurement.
func (r Result) PerSecond(key string) float64 {
	if r.Number("ns") == 0 {
		return 0
	}
	return float64(r.Number(key)) / float64(r.Number("ns")) * 1e9
}
