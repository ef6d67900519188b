package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// maxLimit bounds LIMIT: what Mayfly asks for is at most 1 GiB.
const maxLimit = 1 << 40

// Limits against a stream that has got hold of its decoder, or found an input
// that makes it spin or hoard.
const (
	// memoryBytes is the address space. Go's runtime reserves about 1.3 GiB of it
	// without using it, a dictionary may have 1 GiB.
	memoryBytes = 6 << 30
	// cpuSeconds is far above what the slowest kind (bzip2, about 20 MB/s) needs for
	// the largest kernel on a slow machine.
	cpuSeconds = 600
)

// confine sets the limits of this process for good. The written file gets one
// byte more than limit, which tells too long from long.
func confine(limit int64) error {
	for _, l := range [...]struct {
		name     string
		resource int
		value    uint64
	}{
		{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE, uint64(limit) + 1},
		{"RLIMIT_AS", unix.RLIMIT_AS, memoryBytes},
		{"RLIMIT_CPU", unix.RLIMIT_CPU, cpuSeconds},
		{"RLIMIT_CORE", unix.RLIMIT_CORE, 0},
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.resource, &now); err != nil {
			return fmt.Errorf("getrlimit %s: %w", l.name, err)
		}
		// Hard and soft alike: at the soft CPU limit comes SIGXCPU, which Go ignores.
		v := min(l.value, now.Max)
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: v, Max: v}); err != nil {
			return fmt.Errorf("setrlimit %s: %w", l.name, err)
		}
	}
	return nil
}
