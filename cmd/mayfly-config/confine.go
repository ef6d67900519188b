package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Limits against a file that makes the parser spin or hoard. 1 MiB of YAML takes
// some 0.2 s and 200 MB.
const (
	memoryBytes = 4 << 30 // of address space, of which Go's runtime reserves much
	cpuSeconds  = 20
)

// confine sets the limits of this process for good.
func confine() error {
	for _, l := range [...]struct {
		name     string
		resource int
		value    uint64
	}{
		{"RLIMIT_AS", unix.RLIMIT_AS, memoryBytes},
		{"RLIMIT_CPU", unix.RLIMIT_CPU, cpuSeconds},
		{"RLIMIT_CORE", unix.RLIMIT_CORE, 0},
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.resource, &now); err != nil {
			return fmt.Errorf("getrlimit %s: %w", l.name, err)
		}
		v := min(l.value, now.Max)
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: v, Max: v}); err != nil {
			return fmt.Errorf("setrlimit %s: %w", l.name, err)
		}
	}
	return nil
}
